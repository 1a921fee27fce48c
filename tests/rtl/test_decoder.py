"""Instruction decoder of each half on every simulator."""

import pytest

from ohmweave.rtl.decoder import Decoder, InstructionLayout
from ohmweave.rtl.isa import CLASSES, Half
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench

#: Words on each simulator and half.
WORDS = 150_000


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("half", Half, ids=lambda half: half.name.lower())
def test_decoder(simulator: str, half: Half) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    known = {"half": half.name.lower(), "words": WORDS}
    assert run_testbench(Decoder(half=half), "tb_decoder", simulator, parameters=known) == 4


def test_layouts_have_the_fields_of_the_definition() -> None:
    """An enumeration that a field cannot hold, or that leaves bits of it over, would move all that follow."""
    for info in CLASSES:
        layout = InstructionLayout(info.kind)
        low = 2
        for field in info.fields:
            assert (field.low, field.width) == (low, layout[field.name].width)
            assert layout[field.name].offset == low - 2
            low += field.width


@pytest.mark.parametrize("half", [0, 1, "reram", None])
def test_refuses_what_is_no_half(half: object) -> None:
    with pytest.raises(TypeError, match=f"^Half must be a member of Half, not {half!r}$"):
        Decoder(half=half)  # type: ignore[arg-type]
