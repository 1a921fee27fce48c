"""PE parameters that the small blocks of a PE's data path are tested with."""

from ohmweave.params import ArrayParams, BufferParams, PEParams
from ohmweave.presets import PRESETS

__all__ = ["PES", "RUNS"]


def _pe(*, act_bits: int, result_lanes: int, width: int, **array: int | str | None) -> PEParams:
    return PEParams(
        array=ArrayParams(rows=72, read_cycles=6, write_cycles=3, dac_bits=act_bits, **array),  # type: ignore[arg-type]
        buffer=BufferParams(lanes=8, width=width, banks=6, act_bits=act_bits, window_lanes=72),
        link_bits=result_lanes * act_bits,
        result_lanes=result_lanes,
    )


PES: dict[str, PEParams] = {
    "tiny": PRESETS["tiny"].pe,
    "full": PRESETS["re-reram"].pe,
    # 8-bit activations, two results a cycle; table and row of maxima not of a power of two of words, odd width.
    "wide": _pe(act_bits=8, result_lanes=2, width=9, cols=24, colmux=3, cell_bits=2),
    # One result a cycle, sums of a finite ADC without a reference to take off.
    "single": _pe(
        act_bits=4,
        result_lanes=1,
        width=5,
        cols=12,
        colmux=3,
        cell_bits=4,
        adc_bits=8,
        adc_drop=2,
        sign_scheme="pairs",
    ),
}

#: (simulator, case): a Verilator build takes seconds, so it leaves the smallest cases to Icarus.
RUNS = [("verilator", "full"), ("verilator", "wide"), *(("icarus", case) for case in PES)]
