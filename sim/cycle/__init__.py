"""The cycle model: a chip's transactions in Python, with the outputs of the netlist in the cycles of the netlist."""
