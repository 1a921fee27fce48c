"""The `ohmweave` program, and `python -m ohmweave`: what concerns the process rather than the commands.

As little as possible is imported before signals are dealt with, so that Ctrl-C in the first moment is one line, too.
"""

import contextlib
import io
import signal
import sys
import warnings
from typing import NoReturn

__all__ = ["program"]

#: What asks the program to stop: Ctrl-C, `kill`, a terminal that was closed.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _Stopped(BaseException):
    """A signal other than Ctrl-C's; everything is cleaned up on its way, and nothing mistakes it for an error."""


def program() -> int:
    """Run the command line as a process of its own: the exit code."""
    try:
        for number in SIGNALS:
            # Not where the parent had it ignored, as `nohup` does.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _stop)
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # for those who write the code; -W shows them
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode gets question marks
        from ohmweave.cli import main

        return main()
    except KeyboardInterrupt:
        return _end(signal.SIGINT, "interrupted")
    except _Stopped as stop:
        return _end(stop.args[0], "terminated")
    finally:
        _ignore()


def _stop(number: int, _frame: object) -> NoReturn:
    _ignore()  # impatience must not interrupt the cleaning up
    raise KeyboardInterrupt if number == signal.SIGINT else _Stopped(number)


def _ignore() -> None:
    for number in SIGNALS:
        if signal.getsignal(number) == _stop:
            signal.signal(number, signal.SIG_IGN)


def _end(number: int, word: str) -> int:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"ohmweave: {word}", file=sys.stderr, flush=True)
    return 128 + number


if __name__ == "__main__":
    sys.exit(program())
