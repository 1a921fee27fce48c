"""What the trees of a chip that stands still, their entries and the frame buffers wait for."""

from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.switch import SwitchOutput
from ohmweave.sim.cycle import links
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.entries import (
    BUFFERS,
    E_CHILD,
    E_LEFT,
    E_OFFERED,
    E_OPENED,
    E_PARENT,
    E_TOLD,
    E_TURNS,
)
from ohmweave.sim.cycle.exits import (
    X_DEPTH,
    X_HELD,
    X_LEAF,
    X_OFFERED,
    X_OPEN,
    X_ROW,
    X_TOLD,
    X_TURNS,
    numbers_of,
    turn_of,
)
from ohmweave.sim.cycle.waits import MOVES, Answer, Ask, Registers

__all__ = ["Trees"]

TREE, COLLECTION = links.TREE, SwitchOutput.COLLECTION


class Trees(Registers):
    """Why flits do not come out of a part of the trees (gives), or do not go into it (takes)."""

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
        buffer = self._buffer(below, leaf=bool(m[st.M_LEAF]))
        if buffer is not None:
            return Answer(f"it takes from a branch that leaves into frame buffer {buffer}")
        return Answer("", (self._branch(below, leaf=bool(m[st.M_LEAF])),))

    def collect_takes(self, n: int, child: int) -> Answer:
        """Why a node of the collection tree takes nothing of a child."""
        s, m = self._t.nodes[n], self._t.node_settings[n]
        now = int(s[st.N_SELECT]) - 1
        if now == child:
            if n == 0:
                return MOVES
            buffer = self._buffer(n, leaf=False)
            if buffer is not None:
                return Answer("", (Ask("exit_takes", buffer),))
            return Answer("", (Ask("collect_takes", int(m[st.M_PARENT]), int(m[st.M_CHILD])),))
        if now < 0 or not m[st.M_TURN + child]:
            return Answer("it does not take from there")
        return Answer("it takes from others first", (Ask("collect_gives", n),))

    def entry_takes(self, e: int, _: int) -> Answer:
        """Why a flit in an entry stays, or one above it."""
        if not self._t.entries[e, E_OFFERED]:
            opened = self._t.entry_settings[e, E_OPENED]
            if opened == BUFFERS:
                return Answer("it takes data of frame buffers alone")
            return Answer("it takes data of its own alone") if opened else MOVES
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
        if c[E_OPENED] == BUFFERS:
            return Answer("", (Ask("exit_gives", self._source_of(e), e),))
        if not c[E_OPENED] and self._t.entries[e, E_LEFT]:
            return Answer("it was never opened")
        if not c[E_OPENED]:
            return Answer("", (Ask("node_gives", int(c[E_PARENT]), int(c[E_CHILD])),))
        return MOVES if self._t.entries[e, E_LEFT] else Answer("all frames are in", outside=True)

    # The frame buffers.

    def _buffer(self, row: int, *, leaf: bool) -> int | None:
        """The frame buffer that the branch of a node, or of a PE (`leaf`), leaves into."""
        for buffer, c in enumerate(self._t.exit_settings):
            if c[X_OPEN] and c[X_ROW] == row and bool(c[X_LEAF]) == leaf:
                return buffer
        return None

    def _branch(self, row: int, *, leaf: bool) -> Ask:
        return Ask("output_gives", row, COLLECTION) if leaf else Ask("collect_gives", row)

    def _source_of(self, e: int) -> int:
        """The frame buffer whose turn at an entry it is."""
        return int(turn_of(self._t.entries[e], E_TURNS, self._t.entry_settings[e], E_TOLD))

    def _target_of(self, k: int) -> int:
        """The entry whose turn at a frame buffer it is."""
        return int(turn_of(self._t.exits[k], X_TURNS, self._t.exit_settings[k], X_TOLD))

    def exit_gives(self, k: int, e: int) -> Answer:
        """Why a frame buffer has nothing for an entry that could take it."""
        c, to = self._t.exit_settings[k], self._target_of(k)
        if not c[X_OPEN]:
            return Answer("it is closed")
        if e not in numbers_of(c, X_TOLD):
            return Answer(f"it gives nothing to entry {e}")
        says = "" if to == e else f"it gives to entry {to} first"
        if self._t.exits[k, X_OFFERED]:
            return MOVES if to == e else Answer(says, (Ask("entry_turn", to, k),))
        if c[X_ROW] < 0:
            return Answer("below it is a PE that was told nothing")
        return Answer(says, (self._branch(int(c[X_ROW]), leaf=bool(c[X_LEAF])),))

    def exit_takes(self, k: int, _: int) -> Answer:
        """Why a frame buffer takes no flit of its branch."""
        if self._t.exits[k, X_HELD] != self._t.exit_settings[k, X_DEPTH]:
            return MOVES
        return Answer("it is full", (Ask("entry_turn", self._target_of(k), k),))

    def entry_turn(self, e: int, k: int) -> Answer:
        """Why an entry does not take the flit that a frame buffer has for it."""
        c = self._t.entry_settings[e]
        if c[E_OPENED] != BUFFERS:
            return Answer("it takes nothing of frame buffers")
        if self._t.entries[e, E_OFFERED]:
            return Answer("", (Ask("entry_takes", e),))
        now = self._source_of(e)
        if now == k:
            return MOVES
        if k not in numbers_of(c, E_TOLD):
            return Answer(f"it takes nothing of frame buffer {k}")
        return Answer(f"it takes from frame buffer {now} first", (Ask("exit_gives", now, e),))

    def host(self, _p: int, _: int) -> Answer:
        return Answer("it has nothing more to send", outside=True)
