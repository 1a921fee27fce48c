"""What can be synthesised by name: the chip, and the components in it with the parameters that they have there."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ohmweave.config import LOSSLESS, Architecture
from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.design import ChipSource, chip_source, sources_key
from ohmweave.sim.cache import content_key
from ohmweave.sim.synthesis.block_list import BLOCKS, CHIP

__all__ = ["BLOCKS", "block_source", "settings"]


def block_source(architecture: Architecture, block: str, overrides: Sequence[str] = ()) -> ChipSource:
    """Where the netlist of a block comes from.

    overrides  each `name=value`, of the block's parameters as `settings` names them

    Raises `OhmweaveError` for an unknown block, for a parameter that it has not, and for a value that does not fit.
    """
    if block not in BLOCKS:
        raise OhmweaveError(f"the block must be one of {', '.join(BLOCKS)}, not {block!r}")
    where, arguments = BLOCKS[block]
    values = arguments(architecture)
    changed = _override(block, values, overrides)
    if block == CHIP:
        return chip_source(changed["params"], changed["memory"])
    module, _, name = where.rpartition(".")

    def make() -> Any:
        try:
            return getattr(import_module(module), name)(**changed)
        except (TypeError, ValueError) as error:
            raise OhmweaveError(str(error)) from None

    make_key = content_key(sources_key(), "block", block, repr(sorted(changed.items())))
    return ChipSource(make, make_key, top=block)


def settings(architecture: Architecture, block: str) -> dict[str, Any]:
    """A block's parameters that can be set, with their values; those of a record in it are `record.name`."""
    return {name: setting.value for name, setting in _settings(BLOCKS[block][1](architecture)).items()}


@dataclass(frozen=True)
class _Setting:
    """A value, and the types that it may have."""

    value: Any
    kinds: tuple[type, ...]


def _settings(arguments: Mapping[str, Any]) -> dict[str, _Setting]:
    found: dict[str, _Setting] = {}
    for name, value in arguments.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            hints = typing.get_type_hints(type(value))
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            # What a component has a single record of goes by the names in that.
            prefix = "" if name == "params" else f"{name}."
            for inner, setting in _settings(fields).items():
                kinds = _kinds(hints[inner]) if inner in hints else setting.kinds
                found[f"{prefix}{inner}"] = _Setting(setting.value, kinds)
        elif isinstance(value, (bool, int, str)) or value is None:
            found[name] = _Setting(value, (type(value),))
    return found


def _kinds(hint: Any) -> tuple[type, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _override(block: str, arguments: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    known = _settings(arguments)
    given: dict[str, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise OhmweaveError(f"--set must be NAME=VALUE, not {text!r}")
        if name not in known:
            accepted = ", ".join(known) or "no parameters"
            raise OhmweaveError(f"the block {block} has no parameter {name!r}; it takes {accepted}")
        given[name] = _parse(name, value, known[name].kinds)
    return _replaced(arguments, given)


def _parse(name: str, text: str, kinds: tuple[type, ...]) -> Any:
    readers: dict[type, Callable[[str], Any]] = {
        bool: lambda word: {"true": True, "false": False}[word.lower()],
        int: lambda word: int(word, 0),
        type(None): lambda word: {LOSSLESS: None, "none": None}[word.lower()],
        str: str,
    }
    wanted = {bool: "true or false", int: "a whole number", type(None): LOSSLESS, str: "a word"}
    for kind in kinds:
        try:
            return readers[kind](text)
        except (KeyError, ValueError):
            pass
    raise OhmweaveError(f"{name} must be {' or '.join(wanted[kind] for kind in kinds)}, not {text!r}")


def _replaced(arguments: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with new values; each record is made anew at once, as it checks what fits together."""
    changed = dict(arguments)
    for name, value in arguments.items():
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            if name in given:
                changed[name] = given[name]
            continue
        prefix = "" if name == "params" else f"{name}."
        inner = {key.removeprefix(prefix): new for key, new in given.items() if key.startswith(prefix)}
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        new_fields = _replaced(
            fields, {key: new for key, new in inner.items() if key.split(".")[0] in fields}
        )
        if new_fields != fields:
            changed[name] = dataclasses.replace(value, **new_fields)
    return changed
