"""Named configurations: the accelerators that the generator makes out of the box."""

from ohmweave.params import ArrayParams, BufferParams, GroupParams, PEParams

__all__ = ["PRESETS"]


def _re_reram(
    *, lanes: int, width: int, cols: int, colmux: int, levels: int, write_cycles: int
) -> GroupParams:
    """The Re-ReRAM processing element at a given size: 4-bit cells and inputs, 6 cycles a read."""
    return GroupParams(
        levels=levels,
        pe=PEParams(
            array=ArrayParams(
                rows=9 * lanes,
                cols=cols,
                cell_bits=4,
                colmux=colmux,
                dac_bits=4,
                read_cycles=6,
                write_cycles=write_cycles,
            ),
            buffer=BufferParams(lanes=lanes, width=width, banks=6, act_bits=4, window_lanes=9 * lanes),
        ),
    )


PRESETS: dict[str, GroupParams] = {
    # The paper's PE group, Table V: 16 PEs, 1152×256 cells, 6×128×224 convolution buffer.
    # 51 cycles to write a row: PipeLayer's 50.88 ns at 1 GHz.
    "re-reram": _re_reram(lanes=128, width=224, cols=256, colmux=16, levels=2, write_cycles=51),
    # A few rows and columns of the same, for fast tests and formal proofs.
    "tiny": _re_reram(lanes=8, width=16, cols=16, colmux=4, levels=1, write_cycles=3),
}
