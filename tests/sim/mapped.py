"""Mapped netlists as Yosys writes them in JSON, by hand and by chance, for tests of timing and power."""

import random
from collections.abc import Mapping, Sequence
from typing import Any


def module(
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
    cells: Mapping[str, tuple[str, Mapping[str, Any]]],
    names: Mapping[str, Sequence[int]] | None = None,
    directions: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """A module: ports and names to numbers of nets, instances to (type, pin → number of net or list of them)."""
    ports = {name: {"direction": "input", "bits": list(bits)} for name, bits in inputs.items()}
    ports |= {name: {"direction": "output", "bits": list(bits)} for name, bits in outputs.items()}
    named = {**inputs, **outputs, **(names or {})}
    return {
        "ports": ports,
        "cells": {
            name: {
                "type": kind,
                "parameters": {},
                "port_directions": (directions or {}).get(name, {}),
                "connections": {
                    pin: list(bits) if isinstance(bits, list | tuple) else [bits]
                    for pin, bits in pins.items()
                },
            }
            for name, (kind, pins) in cells.items()
        },
        "netnames": {name: {"hide_name": 0, "bits": list(bits)} for name, bits in named.items()},
    }


def random_module(seed: int, gates: int = 40, registers: int = 8, inputs: int = 5) -> dict[str, Any]:
    """Gates of the library of `liberty_files` over inputs and registers, without a loop; all nets have names."""
    chance = random.Random(seed)
    clock, *nets = range(2, 3 + inputs + registers)
    given, states = nets[:inputs], nets[inputs:]
    cells: dict[str, tuple[str, dict[str, Any]]] = {}
    for number in range(gates):
        kind = chance.choice(["INV", "NAND2", "AND2", "XOR2"])
        # Mostly late nets, so that the logic is deep.
        sources = [chance.choice(nets[-8:] if chance.random() < 0.6 else nets) for _ in range(2)]
        net = 3 + inputs + registers + number
        pins = {"A": sources[0], "Y": net} | ({} if kind == "INV" else {"B": sources[1]})
        cells[f"g{number}"] = kind, pins
        nets.append(net)
    for number, state in enumerate(states):
        cells[f"r{number}"] = "DFF", {"C": clock, "D": chance.choice(nets), "Q": state}
    outs = [chance.choice(nets) for _ in range(3)]
    return module(
        {"clk": [clock], "a": given},
        {"y": outs},
        cells,
        {f"n{net}": [net] for net in nets},
    )
