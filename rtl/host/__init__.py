"""The host's side of a chip: AXI4-Stream, AXI4-Lite and the registers behind it."""
