"""`ohmweave synth --target`: a block placed and routed on an FPGA."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ohmweave.config import Architecture

if TYPE_CHECKING:
    from rich.console import Console

    from ohmweave.sim.synthesis.fpga import FpgaReport

__all__ = ["on_fpga"]

WORDS = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "block_rams": "block RAMs",
    "multipliers": "multipliers",
    "pins": "pins",
}


def on_fpga(
    architecture: Architecture, block: str, settings: Sequence[str], target: str, seed: int, out: Path
) -> int:
    """Place and route, write `fpga.json`, show the figures."""
    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim.synthesis.blocks import block_source
    from ohmweave.sim.synthesis.fpga import place_and_route, write_report
    from ohmweave.sim.synthesis.fpga_targets import target_of

    target_of(target)
    source = block_source(architecture, block, settings)
    with progress_bars(Console(stderr=True)) as progress:
        report = place_and_route(source.design(), target, seed=seed, progress=progress)
    path = write_report(report, out, arch=architecture.name, block=block, set=list(settings))
    console = output()
    _show(console, architecture.name, block, report)
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0


def _show(console: "Console", arch: str, block: str, report: "FpgaReport") -> None:
    from rich.table import Table

    table = Table(title=f"{block} of {arch} on {report.device}")
    for name in ("", "used", "of", "%"):
        table.add_column(name, justify="right" if name else "left")
    for name, used in report.used.items():
        available = report.available[name]
        share = f"{100 * used / available:.1f}" if available else ""
        table.add_row(WORDS[name], f"{used:,}", f"{available:,}", share)
    console.print(table)
    sentences = []
    path = report.critical_path
    if report.fmax_mhz is not None:
        sentences.append(f"{report.fmax_mhz:.1f} MHz after routing")
    if path is not None:
        sentences.append(
            f"  {path['delay_ns']:.2f} ns from {path['start']} to {path['end']}, {path['wires_ns']:.2f} ns of it wires"
        )
    if report.stand_ins:
        names = ", ".join(report.stand_ins)
        sentences.append(
            f"a digital circuit stands for each ReRAM array ({names}): it is no measure of the array"
        )
    if report.harness:
        sentences.append(
            "the block stands between shift registers, which are counted: it has more ports than there are pins"
        )
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
