"""Configured networks: the router, the tree of routers and the receiver of their configuration."""
