"""Figures of memories, ReRAM arrays and converters from a table of cited ones (`macros.toml`)."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ohmweave.check import whole
from ohmweave.config import read_toml
from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.sim.synthesis.macro_table import Adc, Cache, Crossbar, Dac, Sram, check_table
from ohmweave.sim.synthesis.scaling import area_factor, delay_factor, energy_factor, power_factor

__all__ = ["DEFAULT_TABLE", "MacroFigures", "Macros", "load_macros"]

DEFAULT_TABLE = "macros.toml"


@dataclass(frozen=True)
class MacroFigures:
    """One macro.

    area_um2         its area
    access_ns        from the clock's edge to the data
    read_energy_pj   of one read: a word of a memory, one group of an array's columns
    write_energy_pj  of one write: a word of a memory, one row of an array
    leakage_w        what it takes all the time
    node_nm          process that all of it is of
    source           where the figures come from
    """

    area_um2: float
    access_ns: float
    read_energy_pj: float
    write_energy_pj: float
    leakage_w: float
    node_nm: float
    source: str

    def at(self, node_nm: float) -> "MacroFigures":
        """The same at another node, by the factors of `scaling`; leakage, of which there are none, as power."""
        nodes = (self.node_nm, node_nm)
        if nodes[0] == nodes[1]:
            return self
        return dataclasses.replace(
            self,
            area_um2=self.area_um2 * area_factor(*nodes),
            access_ns=self.access_ns * delay_factor(*nodes),
            read_energy_pj=self.read_energy_pj * energy_factor(*nodes),
            write_energy_pj=self.write_energy_pj * energy_factor(*nodes),
            leakage_w=self.leakage_w * power_factor(*nodes),
            node_nm=node_nm,
            source=f"{self.source}; scaled from {self.node_nm:g} to {node_nm:g} nm",
        )

    def times(self, count: int) -> "MacroFigures":
        """That many beside each other, all accessed together."""
        return dataclasses.replace(
            self,
            area_um2=count * self.area_um2,
            read_energy_pj=count * self.read_energy_pj,
            write_energy_pj=count * self.write_energy_pj,
            leakage_w=count * self.leakage_w,
        )


@dataclass(frozen=True)
class Macros:
    """The table: a record for each of its parts (`macro_table`), of SRAM one for each family."""

    name: str
    srams: tuple[Sram, ...]
    crossbar_: Crossbar
    cache: Cache
    adcs: tuple[Adc, ...]
    dac: Dac

    def memory(self, width: int, depth: int, ports: int = 1, node_nm: float | None = None) -> MacroFigures:
        """SRAM of `depth` words of `width` bits.

        `ports` counts reading and writing ones: 1 is one port for both, 2 one of each, and each further one another
        port to read. Words wider than the widest macro are split into equal slices, memories deeper than the deepest
        into equal banks of which an access reaches one.

        `node_nm` says where the figures are going to be used, and so which family they are of: the one whose own
        node is nearest by ratio; None: the first of the table. They are still those at the family's own node.
        """
        whole("width of a memory", width, 1, 1 << 16)
        whole("depth of a memory", depth, 1, 1 << 24)
        whole("ports of a memory", ports, 1, 64)
        sram = self.srams[0] if node_nm is None else _nearest(self.srams, node_nm)
        figures = _memory(sram, width, depth, ports)
        if sram.read_energy_pj is not None:
            return figures
        with_energies = (other for other in self.srams if other.read_energy_pj is not None)
        other = _memory(_nearest(with_energies, sram.node_nm), width, depth, ports).at(sram.node_nm)
        return dataclasses.replace(
            figures,
            read_energy_pj=other.read_energy_pj,
            write_energy_pj=other.write_energy_pj,
            source=f"{figures.source}; energies: {other.source}",
        )

    def crossbar(self, model: ArrayParams) -> MacroFigures:
        """A ReRAM array; a read is that of one group of columns."""
        cited = self.crossbar_
        sensed = model.rows * model.columns_at_once / (cited.rows * (cited.cols / cited.colmux))
        array = MacroFigures(
            area_um2=cited.area_um2 * model.rows * model.cols / (cited.rows * cited.cols),
            access_ns=cited.access_ns,
            read_energy_pj=cited.power_w * cited.access_ns * 1e3 * sensed,
            write_energy_pj=cited.write_energy_pj * model.cols / cited.cols,
            leakage_w=0.0,
            node_nm=cited.node_nm,
            source=cited.source,
        )
        if cited.converters == "included":
            return array
        added = self.converters(model).at(cited.node_nm)
        return dataclasses.replace(
            array,
            area_um2=array.area_um2 + added.area_um2,
            read_energy_pj=array.read_energy_pj + added.read_energy_pj,
            source=f"{array.source}; converters: {added.source}",
        )

    def converters(self, model: ArrayParams) -> MacroFigures:
        """An ADC for each column that is read at once and for the reference, a DAC for each row; one read's energy.

        They have no time and no standing power of their own here: the array's read time contains them.
        """
        bits = model.lossless_bits - model.adc_drop if model.adc_bits is None else model.adc_bits
        adcs = model.columns_at_once + (model.sign_scheme == "offset")
        low, high = self.adcs
        steps = (bits - low.bits) / (high.bits - low.bits)
        area = low.area_um2 * (high.area_um2 / low.area_um2) ** steps
        energy = low.energy_pj * (high.energy_pj / low.energy_pj) ** steps
        doubled = 2.0 ** (model.dac_bits - self.dac.bits)
        to_node = low.node_nm
        dac_area = self.dac.area_um2 * doubled * area_factor(self.dac.node_nm, to_node)
        dac_energy = self.dac.energy_pj * doubled * energy_factor(self.dac.node_nm, to_node)
        return MacroFigures(
            area_um2=adcs * area + model.rows * dac_area,
            access_ns=0.0,
            read_energy_pj=adcs * energy + model.rows * dac_energy,
            write_energy_pj=0.0,
            leakage_w=0.0,
            node_nm=to_node,
            source=f"{low.source}; {high.source}; {self.dac.source}",
        )

    def cache_array(self, model: CacheArrayParams) -> MacroFigures:
        """One array of the cache, tags or data."""
        cited = self.cache
        share = model.depth * model.width / cited.bits
        return MacroFigures(
            area_um2=cited.area_um2 * share,
            access_ns=cited.read_ns,
            read_energy_pj=0.0,
            write_energy_pj=0.0,
            leakage_w=cited.power_w * share,
            node_nm=cited.node_nm,
            source=cited.source,
        )

    def macro(self, model: object) -> MacroFigures:
        """A black box of the netlist, by what it is made from (`ohmweave.rtl.netlist.Macro.model`)."""
        if isinstance(model, ArrayParams):
            return self.crossbar(model)
        if isinstance(model, CacheArrayParams):
            return self.cache_array(model)
        raise TypeError(f"Model must be ArrayParams or CacheArrayParams, not {model!r}")


def load_macros(path: Path | None = None) -> Macros:
    """The table of a file, or the one of this package.

    Raises `OhmweaveError`, one sentence, for a file that cannot be read or is not such a table.
    """
    if path is not None:
        return _macros(str(path), read_toml(path, "table of macros"))
    with as_file(files(__package__).joinpath(DEFAULT_TABLE)) as own:
        return _macros(DEFAULT_TABLE, read_toml(own))


def _macros(name: str, tables: Mapping[str, Any]) -> Macros:
    try:
        parts = check_table(tables)
    except OhmweaveError as error:
        raise OhmweaveError(f"{name}: {error}") from None
    return Macros(name=name, **parts)


def _nearest(srams: Iterable[Sram], node_nm: float) -> Sram:
    """By the ratio of the nodes; of two as near, the first."""
    return min(srams, key=lambda sram: abs(math.log(sram.node_nm / node_nm)))


def _memory(sram: Sram, width: int, depth: int, ports: int) -> MacroFigures:
    """By the rules of one family; without energies, 0."""
    slices = math.ceil(width / sram.max_width)
    banks = math.ceil(depth / sram.max_depth)
    one_width, one_depth = math.ceil(width / slices), math.ceil(depth / banks)
    bits = one_width * one_depth
    words = sram.deep_words_a_row if one_depth >= sram.deep_from else sram.words_a_row
    rows = math.ceil(one_depth / words)
    copies = max(1, ports - 1)
    area = _rule(sram.area_um2, 1, bits, one_width, rows) * (sram.two_port_area if ports > 1 else 1)
    return MacroFigures(
        area_um2=area * slices * banks * copies,
        access_ns=_rule(sram.access_ns, 1, rows),
        read_energy_pj=_rule(sram.read_energy_pj, 1, bits, one_width) * slices,
        # What is written goes into every copy.
        write_energy_pj=_rule(sram.write_energy_pj, 1, bits, one_width) * slices * copies,
        leakage_w=_rule(sram.leakage_w, bits) * slices * banks * copies,
        node_nm=sram.node_nm,
        source=sram.source,
    )


def _rule(factors: Sequence[float] | None, *quantities: float) -> float:
    if factors is None:
        return 0.0
    return sum(factor * quantity for factor, quantity in zip(factors, quantities, strict=True))
