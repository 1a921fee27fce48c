"""PE parameters that the small blocks of a PE's data path are tested with."""

from ohmweave.params import ArrayParams, BufferParams, PEParams
from ohmweave.presets import PRESETS

__all__ = ["PES"]


def _pe(*, act_bits: int, link_bits: int, width: int, **array: int | str | None) -> PEParams:
    return PEParams(
        array=ArrayParams(rows=72, read_cycles=6, write_cycles=3, dac_bits=act_bits, **array),  # type: ignore[arg-type]
        buffer=BufferParams(lanes=8, width=width, banks=6, act_bits=act_bits, window_lanes=72),
        link_bits=link_bits,
    )


PES: dict[str, PEParams] = {
    "tiny": PRESETS["tiny"].pe,
    "full": PRESETS["re-reram"].pe,
    # Inputs of 8 bits, cells of 2, a table not of a power of two of words, odd width.
    "wide": _pe(act_bits=8, link_bits=16, width=9, cols=24, colmux=3, cell_bits=2),
    # One activation a flit, sums of a finite ADC without a reference to take off.
    "single": _pe(
        act_bits=4,
        link_bits=4,
        width=5,
        cols=12,
        colmux=3,
        cell_bits=4,
        adc_bits=8,
        adc_drop=2,
        sign_scheme="pairs",
    ),
}
