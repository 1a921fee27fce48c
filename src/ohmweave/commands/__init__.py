"""One module a command: its options, and the call into `ohmweave.sim` that does the work.

What is slow to import is imported inside the commands, so that `--help` and a refused option are immediate.
"""
