"""Programs of the arithmetic half: how long their bodies take."""

import dataclasses

import numpy as np
import pytest

from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.isa import REGISTER_OPERANDS, AluOp, Batch, Class, Destination, Format, Operand
from ohmweave.sim.graph import Tensor
from ohmweave.sim.stage_program import arithmetic
from ohmweave.sim.stages import passed

#: From an operation to one that reads its product, what it has clipped, or the register that it writes.
LATER = 3


def cycles(program: list[Instruction]) -> int:
    """Cycles from body to body with all vectors there, as `ArithmeticHalf` says.

    An instruction that is executed on the last pixel alone takes its cycle on the others, too.
    """
    now, forward, registers, begins = 0, 0, {}, []
    for _ in range(4):
        begins.append(now)
        for each in program:
            if each.kind != Class.A:
                continue
            named = (each["src"], each["with"])
            if not each["when"]:
                now = max([now, *(registers.get(operand, 0) for operand in named)])
                if Operand.FORWARD in named:
                    now = max(now, forward)
                late = each.op == AluOp.MUL or each["size"] != Format.WIDE
                if each["forward"]:
                    forward = now + (LATER if late else 1)
                if each["des"] in REGISTER_OPERANDS:
                    registers[each["des"]] = now + LATER
            now += 1
    return begins[-1] - begins[-2]


IMAGE = Tensor(name="image", shape=(4, 3, 3), bits=4)
#: A tensor that is passed on, with a scale.
STAGE = passed("result", IMAGE, np.zeros(4, np.int64))


# Operations of a body, and the cycles that it waits.
@pytest.mark.parametrize(
    ("main", "side", "first", "operations", "waits"),
    [
        (False, False, True, 2, 0),
        (False, False, False, 3, 0),
        (False, True, True, 4, 1),
        (False, True, False, 5, 0),
        (True, False, True, 3, 2),
        (True, False, False, 4, 2),
        (True, True, True, 5, 1),
        (True, True, False, 6, 1),
    ],
)
def test_bodies_of_sums(main: bool, side: bool, first: bool, operations: int, waits: int) -> None:
    """Of every mixture of a scaled sum, a scaled side tensor and partial sums; each term is named once."""
    stage = dataclasses.replace(
        STAGE,
        side=IMAGE if side else None,
        main_scale=STAGE.scale if main else None,
        side_scale=STAGE.scale if side else None,
    )
    post = arithmetic(stage, first=first, final=True, channels=4).post
    body = [each for each in post if each.kind == Class.A]
    assert (len(body), cycles(post) - len(body)) == (operations, waits)
    named = [each[operand] for each in body for operand in ("src", "with")]
    streams = {Operand.RESULT: 1, Operand.SIDE: not first, Operand.WINDOW: side}
    assert {operand: named.count(operand) for operand in streams} == streams
    assert [each["des"] for each in body].count(Destination.NETWORK) == 1
    assert body[-1]["des"] == Destination.NETWORK
    # Without the last scale as well.
    raw = arithmetic(dataclasses.replace(stage, scale=None), first=first, final=True, channels=4).post
    assert cycles(raw) == cycles(post) - 1


def test_bodies_of_whole_frames() -> None:
    """The sum of a frame is a register, which the next body finds no sooner than three cycles later."""
    stage = dataclasses.replace(STAGE, whole_frame=True)
    for first, expected in ((True, 3), (False, 4)):
        post = arithmetic(stage, first=first, final=True, channels=4).post
        assert cycles(post) == expected
        assert [each["batch"] for each in post if each.kind == Class.A].count(Batch.FRAME) == 1
    raw = dataclasses.replace(stage, scale=None)
    assert cycles(arithmetic(raw, first=True, final=True, channels=4).post) == LATER
