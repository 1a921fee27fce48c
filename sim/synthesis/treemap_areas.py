"""A block's areas as a tree for a treemap: modules in modules, and in each its cells, memories and macros."""

from collections.abc import Mapping

from ohmweave.sim.synthesis.area import Areas
from ohmweave.sim.synthesis.mapped import Synthesised
from ohmweave.sim.synthesis.treemap import Node

__all__ = ["area_tree", "tree"]

#: What a module has itself, by kind.
Own = Mapping[str, Mapping[str, float]]


def area_tree(synthesised: Synthesised, found: Areas) -> Node:
    """The tree of a block's areas."""
    return tree(
        synthesised,
        {
            module.name: {"logic": module.logic, "memory": module.memory, "macro": module.macro}
            for module in found.modules
        },
    )


def tree(synthesised: Synthesised, own: Own) -> Node:
    """The tree of what one instance of each module has itself, by kind; equal instances are one node."""
    nodes: dict[tuple[str, int], Node] = {}

    def node(name: str, count: int) -> Node:
        """`count` instances of a module."""
        key = (name, count)
        if key not in nodes:
            module = synthesised.modules[name]
            inside = [
                Node(kind, kind, count * value) for kind, value in own.get(name, {}).items() if value > 0
            ]
            inside += [node(child, count * times) for child, times in module.children.items()]
            label = name.rpartition(".")[2] + (f" ×{count}" if count > 1 else "")
            nodes[key] = Node(label, "module", sum(each.value for each in inside), tuple(inside))
        return nodes[key]

    return node(synthesised.top, 1)
