"""Programs of chains in sections that frame buffers join, put on a chip by hand: for tests of what runs them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import lcm

import numpy as np
from mapping_graphs import conv

from ohmweave.params import GroupParams
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.network.tree_entry import entry_unit, entry_writes
from ohmweave.rtl.network.tree_node import RADIX, NodeRegister
from ohmweave.rtl.switch import SwitchInput, SwitchOutput
from ohmweave.sim import compiler
from ohmweave.sim.backends import Job
from ohmweave.sim.compiler import Routes, chain_flits, program_of, tiled
from ohmweave.sim.graph import RAW_BITS, Graph, Tensor
from ohmweave.sim.pe_config import leaving_bits
from ohmweave.sim.program import Outbound, Placed, Program, packets
from ohmweave.sim.stages import stages

__all__ = ["Exits", "chain", "job_of", "sections", "told"]

#: Entry → arguments of `entry_writes`.
Exits = dict[int, dict]


def chain(layers: int, *, size: tuple[int, int] = (5, 6), channels: int = 2, kernel: int = 3) -> Graph:
    """Convolutions that keep their map's size."""
    raw = {"bits": RAW_BITS, "mult": np.zeros(0, np.uint16), "shift": np.zeros(0, np.int8)}
    nodes = [
        conv(
            f"conv{n}",
            f"conv{n - 1}" if n else "image",
            ins=channels,
            outs=channels,
            kernel=kernel,
            seed=n,
            **(raw if n == layers - 1 else {}),
        )
        for n in range(layers)
    ]
    return Graph(
        name="chain", input=Tensor(name="image", shape=(channels, *size), bits=4), nodes=tuple(nodes)
    )


def sections(
    graph: Graph,
    lengths: Sequence[int],
    copies: Sequence[int],
    params: GroupParams,
    change: Mapping[int, dict] | None = None,
) -> Program:
    """A chain cut into sections of so many layers, so many copies of each: every copy below an entry of its own.

    change  entry → arguments of `entry_writes` in place of those that it should have
    """
    tilings = [tiled(stage, params) for stage in stages(graph)]
    assert sum(lengths) == len(tilings)
    below = params.entry_pes
    parts, firsts, lasts, names = [], [], [], []
    flits, entry = [], 0
    for section, length in enumerate(lengths):
        start = sum(lengths[:section])
        layers = tilings[start : start + length]
        flits.append(chain_flits(layers, params))
        for _ in range(copies[section]):
            units = [entry * below + unit for unit in compiler._path(below)[:length]]
            entry += 1
            for place, (unit, layer) in enumerate(zip(units, layers, strict=True)):
                routes: Routes = {
                    SwitchOutput.MAIN: compiler._from(unit, units[place - 1]) if place else SwitchInput.TREE,
                    compiler._to(unit, units[place + 1])
                    if place + 1 < length
                    else SwitchOutput.COLLECTION: SwitchInput.CORE,
                }
                parts.append((unit, compiler._layer_share(layer, params), routes))
                names.append(Placed(layer.name, (unit,)))
            firsts.append(units[0])
            lasts.append(units[-1])
    last = tilings[-1].stage
    ends = lasts[-copies[-1] :]
    program = program_of(
        params,
        parts,
        compiler._inbound(tilings[0].stage, tilings[0].passes[0]),
        Outbound(last.result.shape, leaving_bits(last), last.raw),
        tuple(names),
        firsts,
        {unit: flits[-1][1] if len(ends) > 1 else 1 for unit in ends},
        {},
        copies[0],
    )
    config = _branches(params, lasts[: -copies[-1]])
    for number, arguments in told(copies, [each[0] for each in flits], change or {}).items():
        config += packets(entry_unit(number), entry_writes(**arguments).items())
    counts = tuple(int(number < copies[0]) for number in range(params.entries))
    return replace(
        program,
        config=np.concatenate([program.config, np.array(config, np.uint32)]),
        entry_copies=counts,
    )


def told(copies: Sequence[int], flits: Sequence[int], change: Mapping[int, dict]) -> Exits:
    """What the entries are told: maps go to the copies of each section in turn, `flits` of a map into each."""
    found: Exits = {}
    first = 0
    for section, count in enumerate(copies):
        before = copies[section - 1] if section else 0
        behind = copies[section + 1] if section + 1 < len(copies) else 0
        for copy in range(count):
            arguments: dict = {"opened": 2 if section else 1}
            if section:
                places = range(lcm(before, count) // count)
                sources = [first - before + (copy + place * count) % before for place in places]
                arguments |= {"sources": sources, "in_turn": flits[section]}
            if behind:
                places = range(lcm(count, behind) // count)
                targets = [first + count + (copy + place * count) % behind for place in places]
                arguments |= {"exit": True, "targets": targets, "out_turn": flits[section + 1]}
            found[first + copy] = arguments
        first += count
    return {number: {**arguments, **change.get(number, {})} for number, arguments in found.items()}


def _branches(params: GroupParams, units: Iterable[int]) -> list[int]:
    """Flits that have the nodes of the collection tree up to the frame buffers take what some PEs send."""
    config: list[int] = []
    for unit in units:
        for level in range(params.entry_level, params.levels):
            below = RADIX ** (params.levels - level)
            child = unit // (below // RADIX) % RADIX
            config += packets(node_unit(level, unit // below), [(NodeRegister.SELECT, child + 1)])
    return config


def job_of(program: Program, graph: Graph, count: int) -> tuple[Job, np.ndarray]:
    """Random maps through a program, and the maps."""
    channels, height, width = graph.input.shape
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return replace(Job.of(program, program.encode(pixels >> 4)), idle_limit=3_000), pixels
