"""The one exception that a user sees as a sentence."""

__all__ = ["OhmweaveError"]


class OhmweaveError(Exception):
    """Bad input or a missing tool: the message is one sentence that says what was wrong and what is accepted.

    The command line prints it and exits with code 2; a library user catches this one type.
    """
