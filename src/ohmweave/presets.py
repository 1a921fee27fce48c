"""Named configurations: the accelerators that the generator makes out of the box."""

from dataclasses import replace

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


# The paper's PE group, Table V: 16 PEs, 1152×256 cells, 6×128×224 convolution buffer.
# 51 cycles to write a row: PipeLayer's 50.88 ns at 1 GHz.
_GROUP = _re_reram(lanes=128, width=224, cols=256, colmux=16, levels=2, write_cycles=51)

# A few rows and columns of the same, for fast tests and formal proofs.
_TINY = _re_reram(lanes=8, width=16, cols=16, colmux=4, levels=1, write_cycles=3)

PRESETS: dict[str, GroupParams] = {
    "re-reram": _GROUP,
    # The paper's chip: 256 of these PEs. Images enter above each sixteenth of them, since a single link of 16 bits
    # into the root would hold ResNet-34 to 37,632 cycles an image. The frame buffers are 1 MiB of the 4 MB cache.
    "re-reram-256": replace(_GROUP, levels=4, entries=16, exit_flits=1 << 15),
    "tiny": _TINY,
    # Four PEs for an FPGA of 84,000 LUTs: a lane of 24 bits instead of 8 of 48, kernels of up to 3×3, shorter programs.
    # 17 cycles a read let the digital stand-in of the array take 16 of its rows one after the other.
    "tiny-fpga": replace(
        _TINY,
        pe=replace(
            _TINY.pe,
            array=replace(_TINY.pe.array, colmux=16, read_cycles=17),
            buffer=replace(_TINY.pe.buffer, banks=4, max_kernel=3),
            vector_blocks=1,
            lane_bits=24,
            reram_program=4,
            arithmetic_program=8,
        ),
    ),
}
