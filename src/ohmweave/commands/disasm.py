"""`ohmweave disasm`: a program of a PE from bytes to text."""

from pathlib import Path

import click

__all__ = ["command"]


@click.command("disasm", short_help="Print the instruction tables of a PE as text.")
@click.argument("program", metavar="FILE", type=click.Path(path_type=Path))
def command(program: Path) -> int:
    """Print FILE, which `ohmweave asm` wrote, as text that it takes again.

    Behind each instruction stand its place in the table and its word.
    """
    from ohmweave.assembler import disassemble
    from ohmweave.program_file import read_program

    click.echo(disassemble(read_program(program)), nl=False)
    return 0
