"""Who waits for whom: which circle or chain is told of answers that are given."""

from ohmweave.sim.cycle import standstill
from ohmweave.sim.cycle.waits import Answer, Ask

CHAIN = "each waits for the next: "


class _Made:
    """Tables of which only the names of the PEs are asked."""

    units = tuple(range(20))


def sentence(answers: dict[Ask, Answer], *roots: Ask) -> str:
    return standstill._chains(roots, answers, standstill._Names(_Made, {}))


def test_which_end_is_told() -> None:
    """The chip's own rather than the host's, the nearest of them; and why frames wait if that is something else."""
    results, left, right, host, far = (
        Ask("reads", 1), Ask("control", 2), Ask("control", 3), Ask("host"), Ask("control", 4),
    )  # fmt: skip
    answers = {
        results: Answer("waits", (left, right)),
        left: Answer("waits", (host,)),
        right: Answer("waits too", (far,)),
        host: Answer("has nothing", outside=True),
        far: Answer("has no program"),
    }
    told = CHAIN + "PE 1: waits; PE 3: waits too; PE 4: has no program"
    assert sentence(answers, results) == told
    assert sentence({**answers, far: Answer("works", moves=True)}, results) == (
        CHAIN + "PE 1: waits; PE 2: waits; the host: has nothing"
    )
    frames = Ask("node_takes")
    assert sentence({**answers, frames: Answer("", (far,))}, results, frames) == told
    other = {**answers, frames: Answer("", (Ask("control", 5),)), Ask("control", 5): Answer("stopped")}
    assert sentence(other, results, frames) == f"{told}; frames wait too: PE 5: stopped"
    long = {**other, Ask("control", 5): Answer("stopped" + " for long" * 80)}
    assert sentence(long, results, frames) == told


def test_who_passes_on_is_left_out() -> None:
    """PEs 2 and 3 pass on what PE 1 has for PE 4, which is full; in a circle the one that is full comes first."""
    way = [Ask("output_takes", 1, 4)]
    for p in (2, 3):
        way += [Ask("input_takes", p, 4), Ask("output_takes", p, 4)]
    way += [
        Ask("input_takes", 4, 4),
        Ask("output_takes", 4, 0),
        Ask("receiver_takes", 4, 0),
        Ask("output_gives", 4, 0),
    ]
    answers = {ask: Answer("", (after,)) for ask, after in zip(way, [*way[1:], way[0]], strict=True)}
    for p in (1, 2, 3):
        ask = Ask("output_takes", p, 4)
        answers[ask] = answers[ask]._replace(says="its flits to the east wait")
    full = Ask("receiver_takes", 4, 0)
    answers[full] = answers[full]._replace(says="its main receiver is full")
    circle = standstill._circle([way[0]], answers)
    assert sorted(circle) == sorted(way)
    visits = standstill._visits(standstill._turned(circle), answers)
    assert [unit[1] for unit, _ in visits] == [4, 1]
    # A short cut is taken.
    answers[way[2]] = answers[way[2]]._replace(waits=(way[3], way[5]))
    assert way[3] not in standstill._circle([way[0]], answers)
