"""The chip: PEs in a mesh, below a distribution and a collection tree."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import ActivityLayout
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.network.frame_crossbar import FrameCrossbar
from ohmweave.rtl.network.tree_entry import TreeEntry, entry_unit
from ohmweave.rtl.network.tree_exit import TreeExit
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT, RADIX, TreeNode
from ohmweave.rtl.pe import PE

__all__ = ["PEGroup", "mesh_neighbour", "mesh_position", "mesh_side", "mesh_unit", "node_unit", "opposite"]

# Where the neighbours are, in the order north, east, south, west of a PE's mesh ports.
STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0))


def mesh_position(unit: int) -> tuple[int, int]:
    """Column and row of a PE in the mesh: its number's even and odd bits, so that each quad is a square."""
    x = sum((unit >> (2 * bit) & 1) << bit for bit in range(8))
    y = sum((unit >> (2 * bit + 1) & 1) << bit for bit in range(8))
    return x, y


def mesh_unit(x: int, y: int) -> int:
    """Number of the PE at a column and row of the mesh."""
    return sum((x >> bit & 1) << (2 * bit) | (y >> bit & 1) << (2 * bit + 1) for bit in range(8))


def mesh_neighbour(unit: int, side: int, width: int) -> int | None:
    """Number of the PE on a side of another, in a mesh of so many columns and rows; None at its edge."""
    (x, y), (dx, dy) = mesh_position(unit), STEPS[side]
    inside = 0 <= x + dx < width and 0 <= y + dy < width
    return mesh_unit(x + dx, y + dy) if inside else None


def mesh_side(here: int, there: int) -> int:
    """On which side of a PE its neighbour is."""
    (x, y), (to_x, to_y) = mesh_position(here), mesh_position(there)
    return STEPS.index((to_x - x, to_y - y))


def opposite(side: int) -> int:
    """The side of a neighbour at which a PE is that has the neighbour on `side`."""
    return (side + 2) % len(STEPS)


def node_unit(level: int, index: int) -> int:
    """Unit number of the tree node `index` on a level; the root is level 0."""
    return FIRST_NODE_UNIT + (RADIX**level - 1) // (RADIX - 1) + index


class PEGroup(Component):
    """4^levels PEs: a fat tree of radix 4 distributes, links to four neighbours connect, a 4-to-1 tree collects.

    With 0 levels it is a single PE between the host's ports.

    Each node of the trees is a `TreeNode`; node n of a level has the nodes (on the last level the PEs) 4n … 4n+3 below
    it. PE n stands at `mesh_position(n)` (Re-ReRAM, sections III and VI, figure 9). With several entries a `TreeEntry`
    stands above each node of level `entry_level` (above each PE, where there are as many). With frame buffers a
    `TreeExit` stands beside each entry, on the branch of the collection tree that comes from below it, and a
    `FrameCrossbar` leads from the exits to the entries.

    Ports
    -----
    host_in   flits to the root of the distribution tree: configuration packets, then frames
    entry_i   with several entries: data to each of them, while it is open
    host_out  data from the root of the collection tree
    busy      one bit a PE: its array is reading
    activity  what each PE does in this cycle, and over which links a flit of data goes; `links.links` has their names
    fault     the instruction that a PE could not execute, of the PE with the lowest number; a cycle later

    Latency: 2 cycles a node of a tree, 1 cycle an entry, 2 cycles a frame buffer, 2 cycles a PE's switch.
    Throughput: one flit a cycle on every link.
    """

    def __init__(self, *, params: GroupParams):
        self._params = params
        entries = {"entry_i": In(stream.Signature(params.pe.link_bits)).array(params.entries)}
        super().__init__(
            {
                "host_in": In(flit_stream(params.pe.link_bits)),
                **(entries if params.entries > 1 else {}),
                "host_out": Out(stream.Signature(params.pe.link_bits)),
                "busy": Out(params.pes),
                "activity": Out(ActivityLayout(params)),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._params
        pes = [
            instantiate(m, platform, f"pe_{n}", "pe", lambda: PE(params=params.pe)) for n in range(params.pes)
        ]
        for n, pe in enumerate(pes):
            m.d.comb += [pe.unit.eq(n), self.busy[n].eq(pe.busy), self.activity.pes[n].eq(pe.activity)]
            self._join_neighbours(m, pes, n)
        # The last assignment counts.
        for pe in reversed(pes):
            with m.If(pe.fault.valid):
                m.d.sync += self.fault.eq(pe.fault)
        down, up = self._tree(m, platform, pes)
        connect(m, flipped(self.host_in), down)
        m.d.comb += [
            self.host_out.valid.eq(up.valid),
            self.host_out.payload.eq(up.p.data),
            up.ready.eq(self.host_out.ready),
        ]
        return m

    def _tree(self, m: Module, platform: object, pes: list[Any]) -> tuple[Any, Any]:
        """Add the nodes of the trees, from the root down; give back the root's stream from and to the host."""
        if not self._params.levels:
            return pes[0].tree, pes[0].collection
        link_bits = self._params.pe.link_bits
        crossbar = None
        if self._params.exit_flits:
            crossbar = FrameCrossbar(link_bits=link_bits, entries=self._params.entries)
            m.submodules.frame_crossbar = crossbar
        levels: list[list[Any]] = []
        for level in range(self._params.levels):
            nodes = []
            for index in range(RADIX**level):
                node = instantiate(
                    m, platform, f"node_{level}_{index}", "tree_node", lambda: TreeNode(link_bits=link_bits)
                )
                m.d.comb += [
                    node.unit.eq(node_unit(level, index)),
                    self.activity.nodes[node_unit(level, index) - FIRST_NODE_UNIT].eq(
                        Cat(
                            node.down.valid & node.down.ready & ~node.down.p.config,
                            node.up_o.valid & node.up_o.ready,
                        )
                    ),
                ]
                if level:
                    parent = levels[-1][index // RADIX]
                    self._join_parent(m, platform, crossbar, level, index, parent, node.down, node.up_o)
                nodes.append(node)
            levels.append(nodes)
        for n, pe in enumerate(pes):
            parent = levels[-1][n // RADIX]
            self._join_parent(m, platform, crossbar, self._params.levels, n, parent, pe.tree, pe.collection)
        root = levels[0][0]
        return root.down, root.up_o

    def _join_parent(
        self, m: Module, platform: object, crossbar: FrameCrossbar | None, level: int, index: int, parent: Any,
        down: Any, up: Any,
    ) -> None:  # fmt: skip
        """Connect a node, or below the last level a PE, to its parent; on the entries' level by entry and exit."""
        params = self._params
        above_down, above_up = parent.down_o[index % RADIX], parent.up_i[index % RADIX]
        if params.entries == 1 or level != params.entry_level:
            connect(m, above_down, down)
            connect(m, up, above_up)
            return
        link_bits, exits = params.pe.link_bits, params.entries if params.exit_flits else 0
        entry = instantiate(
            m, platform, f"entry_{index}", "tree_entry", lambda: TreeEntry(link_bits=link_bits, exits=exits)
        )
        m.d.comb += entry.unit.eq(entry_unit(index))
        connect(m, above_down, entry.parent)
        connect(m, flipped(self.entry_i[index]), entry.entry)
        connect(m, entry.o, down)
        if crossbar is None:
            connect(m, up, above_up)
            return
        leave = TreeExit(link_bits=link_bits, depth=params.exit_flits, entries=exits)
        m.submodules[f"exit_{index}"] = leave
        connect(m, entry.exit_config, leave.config)
        connect(m, up, leave.branch)
        connect(m, leave.parent, above_up)
        connect(m, leave.o, crossbar.i[index])
        connect(m, crossbar.o[index], entry.frames)
        m.d.comb += [crossbar.to[index].eq(leave.to), crossbar.from_[index].eq(entry.from_)]

    def _join_neighbours(self, m: Module, pes: list[Any], n: int) -> None:
        """Drive the inputs of PE n from its neighbours; at the edge of the mesh nothing comes and nothing is taken."""
        for side in range(len(STEPS)):
            neighbour = mesh_neighbour(n, side, self._params.side)
            if neighbour is not None:
                connect(m, pes[neighbour].mesh_o[opposite(side)], pes[n].mesh_i[side])
