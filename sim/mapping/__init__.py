"""A whole network on the chip at once: every stage on PEs of its own, shortcuts included (Re-ReRAM, section VII).

cut       stages → pieces, the shares of single PEs, and the streams between them
allocate  how many PEs each stage gets, so that the slowest is fast
place     where each piece stands in the mesh
route     the links that each stream takes
program   what all of it is configured with
"""
