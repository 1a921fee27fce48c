"""Simulators of the netlist: the same outputs in the same cycles from each."""
