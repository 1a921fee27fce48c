"""What switches and trees of a chip that stands still wait for."""

from ohmweave.rtl.group import mesh_neighbour, opposite
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.switch import SwitchOutput
from ohmweave.sim.cycle import links
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.entries import E_CHILD, E_LEFT, E_OFFERED, E_OPENED, E_PARENT
from ohmweave.sim.cycle.waits import MOVES, RECEIVERS, Answer, Ask, Registers

__all__ = ["Network"]

SIDES = ("north", "east", "south", "west")
#: Inputs of a switch as the model counts them, and its first output to a neighbour.
TREE, CORE, NORTH = links.TREE, links.CORE, SwitchOutput.NORTH


class Network(Registers):
    """Why flits do not come out of a part of the network (gives), or do not go into it (takes)."""

    # The switches.

    def output_gives(self, p: int, n: int) -> Answer:
        s = self._t.pes[p]
        now = next((i for i in range(links.INPUTS) if s[st.SW_WANTED + i] >> n & 1), None)
        if now is not None:
            answer = self.input_gives(p, now)
            waiting = any(i != now and self._offered(p, i) for i in self._turns(p, n))
            if not waiting:
                return answer
            end = f", and {answer.says}" if answer.says else ""
            return answer._replace(says=f"its switch takes {_from(now)} first{end}")
        return Answer(f"its switch leads nothing {self._to(n)}")

    def input_gives(self, p: int, i: int) -> Answer:
        """Why no flit of an input that is selected goes on."""
        if not self._offered(p, i):
            return self._source(p, i)
        return self._blocked(p, i)

    def input_takes(self, p: int, i: int) -> Answer:
        """Why a flit at an input is not taken."""
        s = self._t.pes[p]
        if s[st.SW_WANTED + i]:
            return self._blocked(p, i)
        for n in range(links.OUTPUTS):
            turns = self._turns(p, n)
            now = turns[s[st.SW_LATER] >> n & 1] if i in turns else -1
            if now >= 0:
                return Answer(f"its switch takes {_from(now)} first", (Ask("input_gives", p, now),))
        if i == CORE:
            return Answer("no output of its switch takes its results")
        return Answer(f"its switch takes nothing {_from(i)}")

    def _blocked(self, p: int, i: int) -> Answer:
        """Outputs for which a flit of an input waits."""
        s = self._t.pes[p]
        full = s[st.SW_WANTED + i] & s[st.SW_SWITCH] & s[st.SW_SPARE]
        waits = tuple(Ask("output_takes", p, n) for n in range(links.OUTPUTS) if full >> n & 1)
        return Answer("", waits) if waits else MOVES

    def output_takes(self, p: int, n: int) -> Answer:
        if n < NORTH:
            return Answer("", (Ask("receiver_takes", p, n),))
        if n == SwitchOutput.COLLECTION:
            if not len(self._t.nodes):
                return MOVES
            up, child, _ = self._t.above[p]
            return Answer(
                "its flits to the collection tree wait", (Ask("collect_takes", int(up), int(child)),)
            )
        beside, name = self._beside(p, n - NORTH)
        if beside is None:
            return Answer(f"its flits to the {SIDES[n - NORTH]} wait at {name}")
        back = TREE + 1 + opposite(n - NORTH)
        return Answer(f"its flits to the {SIDES[n - NORTH]} wait", (Ask("input_takes", beside, back),))

    def _turns(self, p: int, n: int) -> tuple[int, ...]:
        """The inputs that an output takes from in turn; none for one that takes from one alone."""
        c = self._t.settings[p]
        if not c[st.C_TURNS] >> n & 1:
            return ()
        return int(c[st.C_INPUTS + n]), int(c[st.C_INPUTS + links.OUTPUTS + n])

    def _offered(self, p: int, i: int) -> bool:
        """Whether a flit is at an input."""
        s, c = self._t.pes[p], self._t.settings[p]
        if i == CORE:
            return bool(s[st.SN_VALID])
        if i != TREE:
            source = c[st.C_FROM + i]
            return bool(source >= 0 and self._t.pes[source, st.SW_OFFERED] & c[st.C_BIT + i])
        if not len(self._t.nodes):  # the host: what it could give it has given
            return bool(s[st.SW_WANTED + i] & s[st.SW_SWITCH] & s[st.SW_SPARE])
        up, child, entry = self._t.above[p]
        if entry >= 0:
            return bool(self._t.entries[entry, E_OFFERED])
        return bool(self._t.nodes[up, st.N_OFFERED] >> child & 1)

    def _source(self, p: int, i: int) -> Answer:
        """Who has nothing for an input."""
        if i == CORE:
            return Answer("", (Ask("program", p, self._sends_pools(p)),))
        if i != TREE:
            source, bit = (int(self._t.settings[p, place + i]) for place in (st.C_FROM, st.C_BIT))
            if source < 0:
                side = i - TREE - 1
                return Answer(f"nothing comes from the {SIDES[side]}: {self._beside(p, side)[1]}")
            return Answer("", (Ask("output_gives", source, bit.bit_length() - 1),))
        if not len(self._t.nodes):
            return Answer("", (Ask("host"),))
        up, child, entry = map(int, self._t.above[p])
        return Answer("", (Ask("entry_gives", entry) if entry >= 0 else Ask("node_gives", up, child),))

    def _beside(self, p: int, side: int) -> tuple[int | None, str]:
        """Row of the neighbour, if it was told anything, and what is there else."""
        unit = mesh_neighbour(self._t.units[p], side, self._params.side)
        if unit is None:
            return None, "the edge of the mesh"
        found = self._t.units.index(unit) if unit in self._t.units else None
        return found, f"PE {unit}, which was told nothing"

    @staticmethod
    def _to(n: int) -> str:
        if n < NORTH:
            return f"to its {RECEIVERS[n]} receiver"
        return "to the collection tree" if n == SwitchOutput.COLLECTION else f"to the {SIDES[n - NORTH]}"

    # The trees.

    def _below(self, n: int, child: int) -> tuple[Ask | None, str]:
        """What takes the data of a node's child, if it was told anything, and its name."""
        m = self._t.node_settings[n]
        below = int(m[st.M_FIRST + child])
        if below < 0:
            return None, "PEs that were told nothing"
        if m[st.M_LEAF]:
            entry = int(self._t.above[below, 2])
            ask = Ask("input_takes", below, TREE) if entry < 0 else Ask("entry_takes", entry)
            return ask, f"PE {self._t.units[below]}"
        entry = int(self._t.node_settings[below, st.M_ENTRY])
        return Ask("node_takes", below) if entry < 0 else Ask("entry_takes", entry), "a node"

    def _blocked_children(self, n: int) -> list[int]:
        s = self._t.nodes[n]
        full = s[st.N_CHILDREN] & s[st.N_SWITCH] & s[st.N_OFFERED]
        return [child for child in range(RADIX) if full >> child & 1]

    def node_takes(self, n: int, _: int) -> Answer:
        """Why a node of the distribution tree takes no flit."""
        if not self._t.nodes[n, st.N_CHILDREN]:
            return Answer("it is closed")
        waits = []
        for child in self._blocked_children(n):
            ask, name = self._below(n, child)
            if ask is None:
                return Answer(f"its flits are for {name}")
            waits.append(ask)
        return Answer("", tuple(waits)) if waits else MOVES

    def node_gives(self, n: int, child: int) -> Answer:
        """Why a node of the distribution tree has nothing for a child."""
        s, m = self._t.nodes[n], self._t.node_settings[n]
        if not s[st.N_CHILDREN]:
            return Answer("it is closed")
        if not s[st.N_CHILDREN] >> child & 1 and not m[st.M_DEAL + child]:
            return Answer(f"it leads nothing to {self._below(n, child)[1]}")
        if self._blocked_children(n):
            return self.node_takes(n, 0)
        if n == 0:
            return Answer("", (Ask("host"),))
        if m[st.M_ENTRY] >= 0:
            return Answer("", (Ask("entry_gives", int(m[st.M_ENTRY])),))
        return Answer("", (Ask("node_gives", int(m[st.M_PARENT]), int(m[st.M_CHILD])),))

    def collect_gives(self, n: int, _: int) -> Answer:
        """Why a node of the collection tree has nothing."""
        s, m = self._t.nodes[n], self._t.node_settings[n]
        child = int(s[st.N_SELECT]) - 1
        if child < 0:
            return Answer("it takes from nowhere")
        below = int(m[st.M_FIRST + child])
        if below < 0:
            return Answer("it takes from PEs that were told nothing")
        if m[st.M_LEAF]:
            return Answer("", (Ask("output_gives", below, SwitchOutput.COLLECTION),))
        return Answer("", (Ask("collect_gives", below),))

    def collect_takes(self, n: int, child: int) -> Answer:
        """Why a node of the collection tree takes nothing of a child."""
        s, m = self._t.nodes[n], self._t.node_settings[n]
        now = int(s[st.N_SELECT]) - 1
        if now == child:
            if n == 0:
                return MOVES
            return Answer("", (Ask("collect_takes", int(m[st.M_PARENT]), int(m[st.M_CHILD])),))
        if now < 0 or not m[st.M_TURN + child]:
            return Answer("it does not take from there")
        return Answer("it takes from others first", (Ask("collect_gives", n),))

    def entry_takes(self, e: int, _: int) -> Answer:
        """Why a flit in an entry stays, or one above it."""
        if not self._t.entries[e, E_OFFERED]:
            return Answer("it takes data of its own alone") if self._t.entry_settings[e, E_OPENED] else MOVES
        for row, m in enumerate(self._t.node_settings):
            if m[st.M_ENTRY] == e:
                return Answer("", (Ask("node_takes", row),))
        for row, (_, _, entry) in enumerate(self._t.above):
            if entry == e:
                return Answer("", (Ask("input_takes", row, TREE),))
        return Answer("its flits are for PEs that were told nothing")

    def entry_gives(self, e: int, _: int) -> Answer:
        """Why an entry has nothing."""
        c = self._t.entry_settings[e]
        if not c[E_OPENED] and self._t.entries[e, E_LEFT]:
            return Answer("it was never opened")
        if not c[E_OPENED]:
            return Answer("", (Ask("node_gives", int(c[E_PARENT]), int(c[E_CHILD])),))
        return MOVES if self._t.entries[e, E_LEFT] else Answer("all frames are in", outside=True)

    def host(self, _p: int, _: int) -> Answer:
        return Answer("it has nothing more to send", outside=True)


def _from(i: int) -> str:
    """Where the flits of an input come from."""
    return {TREE: "from the tree", CORE: "its own results"}.get(i) or f"from the {SIDES[i - TREE - 1]}"
