"""Why a chip stands still: who waits for whom, in a circle or up to what does not wait, as a part of a sentence."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.switch import SwitchOutput
from ohmweave.sim.backends.job import Job
from ohmweave.sim.cycle import links
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.entries import BUFFERS, E_OFFERED, E_OPENED
from ohmweave.sim.cycle.tables import Tables
from ohmweave.sim.cycle.waits import RECEIVERS, Answer, Ask
from ohmweave.sim.cycle.waits_network import Network
from ohmweave.sim.cycle.waits_units import Units

__all__ = ["standstill"]

#: Members of a circle or a chain that are named, characters of all of them, and of a name.
MEMBERS, LENGTH, NAME = 8, 700, 24
#: How units begin to say that they take nothing.
TAKES_NOTHING = (
    *(f"its {name} receiver is full" for name in RECEIVERS),
    "no instruction lets",
    "its switch takes",
)
FRAMES = "; frames wait too: "
CIRCLE, CHAIN = "in a circle each waits for the next: ", "each waits for the next: "


class _Waits(Network, Units):
    """All questions to a chip in which nothing moves: who has an answer waits for everything that is named."""

    def answer(self, ask: Ask) -> Answer:
        method: Callable[[int, int], Answer] = getattr(self, ask.what)
        return method(ask.row, ask.which)

    def roots(self, frames: bool) -> Iterator[Ask]:
        """What the outside waits for: results, then what takes no more `frames` of the host, or of the entries."""
        if not len(self._t.nodes):
            yield Ask("output_gives", 0, SwitchOutput.COLLECTION)
            if frames and (self._offered(0, links.TREE) or not self._t.pes[0, st.SW_WANTED + links.TREE]):
                yield Ask("input_takes", 0, links.TREE)
            return
        yield Ask("collect_gives")
        if frames and (self._blocked_children(0) or not self._t.nodes[0, st.N_CHILDREN]):
            yield Ask("node_takes")
        for entry, registers in enumerate(self._t.entries):
            if registers[E_OFFERED] and self._t.entry_settings[entry, E_OPENED] != BUFFERS:
                yield Ask("entry_takes", entry)

    def working(self) -> list[int]:
        """Rows of PEs in which something still happens: the limit on idle cycles was too short for them."""
        s = self._t.pes
        # A PE whose array holds sums that nobody takes is not seen to sleep.
        held = (s[:, st.XB_WAITING] != 0) & (s[:, st.SA_VALID] != 0) & (s[:, st.VC_WAITING] != 0)
        awake = (s[:, st.AWAKE] != 0) & ~held
        return np.flatnonzero((awake | (s[:, st.XB_READING] != 0)) & self._enabled()).tolist()


def standstill(params: GroupParams, tables: Tables, cycles: int, job: Job) -> str:
    """Who waits for whom on a chip of which a run of so many cycles left these tables."""
    waits = _Waits(params, tables, cycles)
    names = _Names(tables, job.names)
    working = waits.working()
    if working:
        found = [f"{names.of(('pe', row))} still works" for row in working[:MEMBERS]]
        return ", ".join(found) + (", …" if len(working) > MEMBERS else "")
    roots = list(waits.roots(job.host_data.size > 0))
    answers = _reached(waits, roots)
    circle = _circle(roots, answers)
    if circle:
        return _sentence(CIRCLE, _visits(_turned(circle), answers), names, closed=True)
    return _chains(roots, answers, names)


def _reached(waits: _Waits, roots: Sequence[Ask]) -> dict[Ask, Answer]:
    """All questions that those of the outside, the roots, lead to."""
    answers: dict[Ask, Answer] = {}
    todo = list(roots)
    while todo:
        ask = todo.pop()
        if ask not in answers:
            answers[ask] = waits.answer(ask)
            todo += answers[ask].waits
    return answers


def _circle(roots: Sequence[Ask], answers: Mapping[Ask, Answer]) -> list[Ask]:
    """The shortest of the circles through a question that is found in one; empty where there is none."""
    done: set[Ask] = set()
    for root in roots:
        path: dict[Ask, int] = {}
        todo = [(root, 0)]
        while todo:
            ask, number = todo.pop()
            if number == 0 and (ask in done or ask in path):
                continue
            path[ask] = number
            after = answers[ask].waits
            if number == len(after):
                del path[ask]
                done.add(ask)
                continue
            todo.append((ask, number + 1))
            following = after[number]
            if following in path:
                inside = list(path)[list(path).index(following) :]
                return min((_way(each, each, answers) for each in inside), key=len)[:-1]
            todo.append((following, 0))
    return []


def _way(start: Ask, end: Ask, answers: Mapping[Ask, Answer]) -> list[Ask]:
    """The shortest way of at least a step, both ends included."""
    before: dict[Ask, Ask] = {}
    todo = deque([start])
    while todo and end not in before:
        ask = todo.popleft()
        for following in answers[ask].waits:
            if following not in before:
                before[following] = ask
                todo.append(following)
    way = [end, before[end]]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _turned(circle: list[Ask]) -> list[Ask]:
    """A circle from where it comes to a unit that takes nothing, if there is one, or else to any other unit."""
    borders = [n for n, ask in enumerate(circle) if _unit(ask) != _unit(circle[n - 1])]
    # One that only passes on what it takes comes after the one whose receiver is full.
    full = [n for n in borders if circle[n].what.endswith("_takes")]
    full.sort(key=lambda n: circle[(n + 1) % len(circle)].which >= len(RECEIVERS))
    start = next(iter(full or borders), 0)
    return circle[start:] + circle[:start]


def _chains(roots: Sequence[Ask], answers: Mapping[Ask, Answer], names: "_Names") -> str:
    """The way from the results to their end, rather one that is the chip's own fault than the host; then the frames'.

    The second only if it says something else, and is short.
    """
    text = ""
    told: set[tuple[str, int]] = set()
    for root in roots:
        ends = [ask for ask in _ordered(root, answers) if not answers[ask].waits]
        end = min(ends, key=lambda ask: (answers[ask].moves, answers[ask].outside))
        if _unit(end) in told or (told and answers[end].outside):
            continue
        way = [root] if end == root else _way(root, end, answers)
        more = _sentence(CHAIN, _visits(way, answers), names)
        if told:
            return text + (FRAMES + more if len(text) + len(more) < LENGTH else "")
        text = more
        told.add(_unit(end))
    return text


def _ordered(root: Ask, answers: Mapping[Ask, Answer]) -> list[Ask]:
    """Questions that one leads to, the nearest first."""
    found = {root: None}
    todo = deque([root])
    while todo:
        for following in answers[todo.popleft()].waits:
            if following not in found:
                found[following] = None
                todo.append(following)
    return list(found)


def _unit(ask: Ask) -> tuple[str, int]:
    """What a question is to: a PE and its row, an entry or a frame buffer and its number, a tree, the host."""
    kind = ask.what.partition("_")[0]
    if kind in ("host", "node", "collect"):
        return kind, 0
    return (kind, ask.row) if kind in ("entry", "exit") else ("pe", ask.row)


#: A unit on the way, and what it says.
Visit = tuple[tuple[str, int], list[str]]


def _visits(way: Sequence[Ask], answers: Mapping[Ask, Answer]) -> list[Visit]:
    """The units on a way that have something to say, not those that only pass on what another has for a third.

    Of several each is short.
    """
    found: list[tuple[Visit, bool]] = []
    for unit, group in groupby(way, _unit):
        asks = list(group)
        says = list(dict.fromkeys(answers[ask].says for ask in asks if answers[ask].says))
        passes = [ask.what for ask in asks] == ["input_takes", "output_takes"] and answers[asks[-1]].waits
        if says:
            found.append(((unit, says), bool(passes and found)))
    visits = [visit for visit, passes in found if not passes]
    if len(visits) < 2:
        visits = [visit for visit, _ in found]
    return visits if len(visits) == 1 else [(unit, _short(says)) for unit, says in visits]


def _short(says: list[str]) -> list[str]:
    """A unit that takes nothing says so, and all say what they wait for in the end."""
    if len(says) == 1 or not says[0].startswith(TAKES_NOTHING):
        return says[-1:]
    between = [each for each in says[1:-1] if "arithmetic half" in each]
    return [says[0], *between[:1], says[-1]]


class _Names:
    """How units are called."""

    def __init__(self, tables: Tables, names: Mapping[int, str]):
        self._units, self._names = tables.units, names

    def of(self, unit: tuple[str, int]) -> str:
        kind, row = unit
        if kind != "pe":
            trees = {"host": "the host", "node": "the distribution tree", "collect": "the collection tree"}
            return trees.get(kind) or f"{'entry' if kind == 'entry' else 'frame buffer'} {row}"
        name = self._names.get(self._units[row], "")
        if len(name) > NAME:
            name = name[: NAME - 1] + "…"
        return f"PE {self._units[row]}" + (f" ({name})" if name else "")


def _sentence(begin: str, visits: Sequence[Visit], names: _Names, *, closed: bool = False) -> str:
    """The units in their order; of many those in the middle are left out."""
    if len(visits) == 1:
        unit, says = visits[0]
        return (
            f"{names.of(unit)} waits for itself: {', '.join(says)}"
            if closed
            else f"{names.of(unit)}: {says[-1]}"
        )
    members = [f"{names.of(unit)}: {', '.join(says)}" for unit, says in visits]
    for kept in range(min(len(members), MEMBERS), 1, -1):
        shown = members if kept == len(members) else [*members[: kept - 1], "…", members[-1]]
        text = begin + "; ".join(shown)
        if len(text) <= LENGTH:
            break
    return text
