"""Checks of values, each refused with one sentence."""

from ohmweave.errors import OhmweaveError

__all__ = ["power", "whole"]


def whole(name: str, value: object, low: int, high: int, *, error: type[Exception] = OhmweaveError) -> None:
    """Raise `error` unless `value` is a whole number from `low` to `high`; True and False are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise error(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def power(name: str, value: object, low: int, high: int) -> None:
    """Raise `OhmweaveError` unless `value` is a power of two from `low` to `high`."""
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or not low <= value <= high
        or value & (value - 1)
    ):
        raise OhmweaveError(f"{name} must be a power of two from {low} to {high}, not {value!r}")
