"""The tile controller: its testbench on both simulators, refusals."""

import re

import pytest

from ohmweave.rtl.tile_controller import TileController, TileStep
from ohmweave.testbench import tb_tile_controller
from ohmweave.testbench.runner import available, run_testbench

# A build with Verilator takes seconds, one with Icarus none: most tiles run on the latter.
CASES = [
    ("verilator", 1, 16),
    ("verilator", 3, 5),
    *(("icarus", arrays, groups) for arrays, groups in ((1, 1), (1, 16), (2, 4), (3, 5), (8, 2))),
]


@pytest.mark.parametrize(("simulator", "arrays", "groups"), CASES)
def test_testbench(simulator: str, arrays: int, groups: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    ran = run_testbench(
        TileController(arrays=arrays, groups=groups),
        "tb_tile_controller",
        simulator,
        parameters={"arrays": arrays, "groups": groups},
    )
    assert ran == 4 + 20 + 2


def test_testbench_knows_the_steps() -> None:
    assert [step.value for step in TileStep] == list(range(5))
    for step in TileStep:
        assert getattr(tb_tile_controller, step.name) == step.value


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", None, True])
@pytest.mark.parametrize("name", ["arrays", "groups"])
def test_refuses(name: str, value: object) -> None:
    sentence = f"{name.capitalize()} must be a whole number of at least 1, not {value!r}"
    arguments: dict[str, object] = {"arrays": 1, "groups": 1, name: value}
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        TileController(**arguments)  # type: ignore[arg-type]
