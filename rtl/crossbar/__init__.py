"""The crossbar array: black box, wrapper, and its models for every simulator."""
