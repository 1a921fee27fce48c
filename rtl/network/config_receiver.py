"""Takes configuration packets out of a link's flits."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite, flit_stream

__all__ = ["ConfigReceiver", "config_packet"]


def config_packet(
    unit: int, address: int, words: Sequence[int], *, link_bits: int = CONFIG_BITS
) -> list[int]:
    """Flits that write `words` to `address`, `address` + 1, … of `unit`; bit `link_bits` of a flit is `config`."""
    for name, value in (
        ("unit", unit),
        ("address", address),
        ("count of words", len(words)),
        *(("word", word) for word in words),
    ):
        if not 0 <= value < 2**CONFIG_BITS:
            raise ValueError(f"A packet's {name} must be from 0 to {2**CONFIG_BITS - 1}, not {value!r}")
    return [1 << link_bits | word for word in (unit, address, len(words), *words)]


class _State(enum.IntEnum):
    UNIT = 0
    ADDRESS = 1
    COUNT = 2
    DATA = 3


class ConfigReceiver(Component):
    """Turns the configuration packets for its unit into writes; passes data flits through.

    A packet is a run of configuration flits: unit, address, count n, then n words that go to address,
    address + 1, … (modulo 2^16). A packet of count 0 writes nothing. Packets for other units are dropped. A data
    flit ends the packet that it interrupts: the words before it stay written and the next configuration flit
    begins a new packet, so that a truncated packet does no harm to those after the next data.

    Order is kept: a data flit passes only once every write before it has been taken.

    Latency: a word taken in cycle c is offered at `config` in cycle c + 1; data pass in the same cycle.
    Throughput: 1 flit a cycle; a write that is not taken at `config` holds up all flits behind it, and the first
    data flit behind a write waits 1 cycle.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 16 to 64. Packets use the low 16.
    data_output : bool
        Whether there is the port `data`. Without it data flits are dropped.
    open_output : bool
        Whether there is the port `open`.

    Ports
    -----
    unit : In(16)
        Number of the unit; constant while flits arrive.
    flits : In(flit_stream(link_bits))
    data : Out(flit_stream(link_bits))
        Data flits, combinational from `flits`; `flits.ready` is combinational from `data.ready`.
    config : Out(stream(ConfigWrite))
        Registered; `flits.ready` is combinational from `config.ready` while a write waits.
    open : Out(1)
        A packet, of whatever unit, has begun and lacks flits; registered.

    Raises
    ------
    TypeError
        `link_bits` is not a number of its range.
    """

    def __init__(self, *, link_bits: int, data_output: bool = True, open_output: bool = False):
        whole("ConfigReceiver link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        super().__init__(
            {
                "unit": In(CONFIG_BITS),
                "flits": In(flit_stream(link_bits)),
                **({"data": Out(flit_stream(link_bits))} if data_output else {}),
                "config": Out(stream.Signature(ConfigWrite)),
                **({"open": Out(1)} if open_output else {}),
            }
        )
        self._link_bits = link_bits
        self._data_output = bool(data_output)
        self._open_output = bool(open_output)

    @property
    def link_bits(self) -> int:
        return self._link_bits

    @property
    def data_output(self) -> bool:
        return self._data_output

    @property
    def open_output(self) -> bool:
        return self._open_output

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        state = Signal(_State)
        mine = Signal()
        address = Signal(CONFIG_BITS)
        count = Signal(CONFIG_BITS)
        word = self.flits.payload.data[:CONFIG_BITS]
        is_config = self.flits.payload.config
        free = Signal()

        m.d.comb += free.eq(~self.config.valid | self.config.ready)
        if self.data_output:
            m.d.comb += [
                self.data.payload.eq(self.flits.payload),
                # Behind a write that still waits, data wait too.
                self.data.valid.eq(self.flits.valid & ~is_config & ~self.config.valid),
                self.flits.ready.eq(Mux(is_config, free, self.data.ready & ~self.config.valid)),
            ]
        else:
            m.d.comb += self.flits.ready.eq(free)
        if self.open_output:
            m.d.comb += self.open.eq(state != _State.UNIT)

        with m.If(self.config.ready):
            m.d.sync += self.config.valid.eq(0)

        with m.If(self.flits.valid & self.flits.ready):
            with m.If(~is_config):
                m.d.sync += state.eq(_State.UNIT)
            with m.Else(), m.Switch(state):
                with m.Case(_State.UNIT):
                    m.d.sync += [mine.eq(word == self.unit), state.eq(_State.ADDRESS)]
                with m.Case(_State.ADDRESS):
                    m.d.sync += [address.eq(word), state.eq(_State.COUNT)]
                with m.Case(_State.COUNT):
                    m.d.sync += [count.eq(word), state.eq(Mux(word == 0, _State.UNIT, _State.DATA))]
                with m.Case(_State.DATA):
                    m.d.sync += [address.eq(address + 1), count.eq(count - 1)]
                    with m.If(count == 1):
                        m.d.sync += state.eq(_State.UNIT)
                    with m.If(mine):
                        m.d.sync += [
                            self.config.valid.eq(1),
                            self.config.payload.address.eq(address),
                            self.config.payload.data.eq(word),
                        ]
        return m
