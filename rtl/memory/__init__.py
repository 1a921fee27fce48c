"""The on-chip cache, its way to memory, and the copy engine."""
