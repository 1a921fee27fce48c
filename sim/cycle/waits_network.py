"""What switches of a chip that stands still wait for."""

from ohmweave.rtl.group import mesh_neighbour, opposite
from ohmweave.rtl.switch import SwitchOutput
from ohmweave.sim.cycle import links
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.entries import E_OFFERED
from ohmweave.sim.cycle.waits import MOVES, RECEIVERS, Answer, Ask
from ohmweave.sim.cycle.waits_trees import Trees

__all__ = ["Network"]

SIDES = ("north", "east", "south", "west")
#: Inputs of a switch as the model counts them, and its first output to a neighbour.
TREE, CORE, NORTH = links.TREE, links.CORE, SwitchOutput.NORTH


class Network(Trees):
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
            buffer = self._buffer(p, leaf=True)
            if buffer is not None:
                return Answer("its flits to the frame buffer wait", (Ask("exit_takes", buffer),))
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


def _from(i: int) -> str:
    """Where the flits of an input come from."""
    return {TREE: "from the tree", CORE: "its own results"}.get(i) or f"from the {SIDES[i - TREE - 1]}"
