"""The clock's period of a block with arrays, whose reads take several cycles."""

from collections.abc import Mapping
from typing import Any

from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.hard_macros import HardMacros
from ohmweave.sim.synthesis.timing import Analysis, Timing

__all__ = ["timing_with_reads"]


def timing_with_reads(
    modules: Mapping[str, Mapping[str, Any]], top: str, library: Library, macros: HardMacros
) -> Timing:
    """Timing of module `top` at the shortest period at which every path fits.

    An array's outputs change as late behind the last edge of a read as the cycles before leave of its access time, so
    that what stands behind the array has all of the read's cycles together with it: of a path of d behind an access of
    a in n cycles, a + d is n periods. That makes the longest path a function of the period, which falls and is convex;
    Newton's steps from the left end at the period that is its own longest path.

    Raises `OhmweaveError` for what is not mapped, and for a combinational loop.
    """
    kinds = {cell["type"] for module in modules.values() for cell in module["cells"].values()}
    reads = {kind: read for kind in kinds if (read := macros.reads(kind)) is not None}
    period = max((access / cycles for access, cycles in reads.values()), default=0.0)
    analysis = Analysis(modules, library, macros.at(period))
    while True:
        timing = analysis.timing(top)
        path = timing.longest
        if not reads or path is None or path.delay_ns <= period * (1 + 1e-9):
            return timing
        first = path.steps[0] if path.steps else None
        # A path that waits for no access does not become shorter with a longer period.
        cycles = reads[first.cell][1] if first is not None and first.cell in reads and first.delay_ns else 1
        period += (path.delay_ns - period) / cycles
        analysis = analysis.again(macros.at(period), reads)
