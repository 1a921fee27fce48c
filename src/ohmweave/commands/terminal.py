"""The terminal: results on stdout, progress on stderr."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["output", "progress_bars"]


class _Console(Console):
    """A console that leaves a reader who went away to the command line's own handling."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def output() -> Console:
    """The console for results."""
    return _Console(highlight=False)


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A function to report progress with: (what, done, total); one bar for each `what`.

    The bars are gone in the end, and there are none where stderr is no terminal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, object] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for before in list(tasks.values())[-1:]:
                    bars.stop_task(before)  # type: ignore[arg-type]
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

        yield report
