"""From the netlist to silicon: area, timing and power on standard cells."""
