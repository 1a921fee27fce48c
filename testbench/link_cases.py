"""PE parameters that the blocks at the links are tested with."""

from ohmweave.params import ArrayParams, BufferParams, PEParams
from ohmweave.presets import PRESETS

__all__ = ["LINKS", "RUNS"]


def _pe(*, link_bits: int, lanes: int, cols: int, lane_bits: int, act_bits: int = 4) -> PEParams:
    array = ArrayParams(
        rows=9 * lanes, cols=cols, cell_bits=4, colmux=2, dac_bits=act_bits, read_cycles=6, write_cycles=3
    )
    buffer = BufferParams(lanes=lanes, width=16, banks=6, act_bits=act_bits, window_lanes=9 * lanes)
    return PEParams(array=array, buffer=buffer, link_bits=link_bits, lane_bits=lane_bits)


LINKS: dict[str, PEParams] = {
    "tiny": PRESETS["tiny"].pe,
    "full": PRESETS["re-reram"].pe,
    # Lanes that are no power of two; a link that is wider than a pixel.
    "link_32": _pe(link_bits=32, lanes=24, cols=16, lane_bits=40),
    "link_64": _pe(link_bits=64, lanes=8, cols=32, lane_bits=48),
    # 8-bit bit planes; lanes narrower than the widest elements.
    "wide_planes": _pe(link_bits=16, lanes=16, cols=4, lane_bits=24, act_bits=8),
}

#: (simulator, case): a Verilator build takes seconds, so it gets one case.
RUNS = [("verilator", "tiny"), *(("icarus", case) for case in LINKS)]
