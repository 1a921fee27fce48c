"""Which line of a set makes room: a binary tree of bits that point away from what was used (tree-PLRU)."""

from amaranth.hdl import Cat, Const, Mux, Value

__all__ = ["one_hot", "touched", "victim"]

# Node 1 is the root, nodes 2n and 2n + 1 lie below node n, and way w is the leaf ways + w. A bit says in which half of
# its node's ways the next victim is: 0 the lower, 1 the upper. Bit n - 1 of the state is node n's.


def victim(state: Value, ways: int) -> Value:
    """The way that the bits lead to."""

    def below(node: int) -> Value:
        """The victim among the ways below a node, counted from the lowest of them."""
        if node >= ways:
            return Const(0, 0)
        upper = state[node - 1]
        return Cat(Mux(upper, below(2 * node + 1), below(2 * node)), upper)

    return below(1)


def touched(state: Value, way: Value, ways: int) -> Value:
    """The bits after `way` was used: all nodes above it point to the other half."""
    levels = ways.bit_length() - 1
    bits = []
    for node in range(1, ways):
        level = node.bit_length() - 1  # of the root: 0
        half = way[levels - 1 - level]
        above = way[levels - level :] == node - (1 << level) if level else Const(1)
        bits.append(Mux(above, ~half, state[node - 1]))
    return Cat(bits)


def one_hot(way: Value, ways: int) -> Value:
    """A bit for each way, that of `way` set."""
    return Cat(way == n for n in range(ways))
