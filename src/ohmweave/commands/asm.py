"""`ohmweave asm`: a program of a PE from text to bytes."""

from pathlib import Path

import click

from ohmweave.commands.options import arch_option
from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError

__all__ = ["command"]

MAX_SOURCE_BYTES = 1 << 20


@click.command("asm", short_help="Assemble the instruction tables of a PE.")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@arch_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to write the tables.",
)
def command(source: Path, arch: str, out: Path) -> int:
    """Assemble FILE, the instruction tables of one PE as text, into their words.

    A line is an operation and its operands as name=value; `.reram` and `.arithmetic` say whose table follows; comments
    begin with ; or #. The tables have to fit those of the accelerator.
    """
    params = load_architecture(arch).params.pe

    from ohmweave.assembler import assemble
    from ohmweave.commands.terminal import output
    from ohmweave.program_file import read_bounded, write_program
    from ohmweave.rtl.isa import Half

    try:
        text = read_bounded(source, "the source file", MAX_SOURCE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OhmweaveError(
            f"the source file {source} must be text in UTF-8, and byte {error.start} is none"
        ) from None
    limits = {Half.RERAM: params.reram_program, Half.ARITHMETIC: params.arithmetic_program}
    tables = assemble(text, str(source), limits)
    write_program(out, tables)
    counts = ", ".join(f"{len(tables.of(half))} in .{half.name.lower()}" for half in Half)
    output().print(f"wrote {out}: instructions {counts}", markup=False, soft_wrap=True)
    return 0
