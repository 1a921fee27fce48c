"""The command line: which commands there are, and how everything that goes wrong ends.

Exit codes: 0 done, 1 a mismatch with the golden model, 2 bad input or a missing tool, 130 interrupted. Whatever is
not 0 or 1 prints one sentence on stderr and leaves nothing half-written.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ohmweave import __version__
from ohmweave.commands import asm, bench, compile, disasm, emit, export, fetch, map, run, synth
from ohmweave.errors import OhmweaveError

__all__ = ["cli", "main"]

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # as a shell reports a program that SIGPIPE ended

MAX_SENTENCE = 1000


class _InterruptedError(Exception):
    """Ctrl-C; click would print an empty line for a KeyboardInterrupt."""


class _Group(click.Group):
    """A group whose refusal of a command says which there are."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            accepted = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"the command must be one of {accepted}, not {name!r}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ohmweave")
def cli() -> None:
    """Generate a ReRAM accelerator, run a trained network on its netlist, report what came out."""


for _module in (run, map, compile, export, emit, asm, disasm, synth, bench, fetch):
    cli.add_command(_module.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `ohmweave` program: the exit code."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments), prog_name="ohmweave", standalone_mode=False
        )
        if sys.stdout is not None:  # it is None where the program was started without one
            sys.stdout.flush()  # a reader that went away shows here, not at exit
        return int(code or 0)
    except (_InterruptedError, KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # whoever read the output went away
        return EXIT_BROKEN_PIPE
    except click.UsageError as error:
        if not arguments and isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.ctx.get_help() if error.ctx else error.format_message())
            return EXIT_BAD_INPUT
        _say(f"{error.format_message().rstrip('.')}{_hint(error)}")
        return EXIT_BAD_INPUT
    except click.ClickException as error:
        _say(error.format_message())
        return EXIT_BAD_INPUT
    except OhmweaveError as error:
        _say(str(error))
        return EXIT_BAD_INPUT
    except OSError as error:
        # A full disk, or a file that changed under a command: whoever opened it for the user says more.
        where = f" ({error.filename})" if error.filename else ""
        what = "the output cannot be written: " if _drop_output() else ""
        _say(f"{what}{error.strerror or error}{where}")
        return EXIT_BAD_INPUT
    except MemoryError:
        _say("there is not enough memory for this; fewer images (--limit) or fewer --jobs take less")
        return EXIT_BAD_INPUT


def _hint(error: click.UsageError) -> str:
    return f" (see {error.ctx.command_path} --help)" if error.ctx else ""


def _drop_output() -> bool:
    """Whether stdout takes no more; Python would complain again when it flushes the rest at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return True
    return False


def _say(sentence: str) -> None:
    """One sentence on stderr, whatever is in it: no control characters of a file's name reach the terminal."""
    if sys.stderr is None:
        return
    if len(sentence) > MAX_SENTENCE:  # a value that is quoted may be anything
        sentence = f"{sentence[: MAX_SENTENCE * 2 // 3]} … {sentence[-MAX_SENTENCE // 3 :]}"
    clean = "".join(char if char.isprintable() else repr(char)[1:-1] for char in sentence)
    with contextlib.suppress(OSError):
        print(f"ohmweave: {clean}", file=sys.stderr, flush=True)
