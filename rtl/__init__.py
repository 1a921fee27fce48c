"""Hardware: Amaranth components and the models of the analog macro. Imports nothing of `sim` or `testbench`."""
