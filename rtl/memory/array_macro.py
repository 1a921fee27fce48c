"""A memory array of the cache, as a black box of the netlist, and its model in Python."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import CacheArrayParams
from ohmweave.rtl.netlist import Macro

__all__ = ["CacheArray", "CacheArrayMacro", "CacheArrayModel", "array_ports"]


def array_ports(array: CacheArrayParams) -> dict[str, Any]:
    """Members of the macro's signature; the models are generated from it too. The clock `clk` is not among them."""
    return {
        "read": In(1),
        "write": In(1),
        "index": In(Shape.cast(range(array.depth))),
        "mask": In(array.granules),
        "data": In(array.width),
        "q": Out(array.width),
    }


def _check(array: object) -> None:
    if not isinstance(array, CacheArrayParams):
        raise TypeError(f"array must be CacheArrayParams, not {array!r}")


class CacheArrayMacro(Macro):
    """Words of memory behind one port, as the cache's tags and data are (Re-ReRAM, table VIII: 2D DRAM, a read in
    0.605 ns and a write in 0.505 ns, each within a cycle at 1 GHz).

    Parameters
    ----------
    array : CacheArrayParams
        `array.name` names the module, and is also the `model`.

    Ports
    -----
    read : In(1)
        Reads word `index`; ignored beside a `write`. A read that is still under way is given up.
    write : In(1)
        Writes those granules of word `index` whose bit of `mask` is set.
    index : In(range(depth))
        A word that is not there is ignored by writes and read as the one that was read last.
    mask, data : In(width / granule), In(width)
    q : Out(width)
        The word: it changes so that it is seen from cycle c + read_cycles on for a read in cycle c, and holds until
        the next one does.

    Words are unknown until they are written, and so is `q` until the first read. Without a reset. The caller leaves
    read_cycles after a read, and write_cycles after a write, before the next access; the macro does not check it.

    Latency: read_cycles. Throughput: an access every read_cycles or write_cycles.
    """

    def __init__(self, *, array: CacheArrayParams):
        _check(array)
        self.macro_name = array.name
        self.model = array
        super().__init__(array_ports(array))

    async def process(self, ctx: Any) -> None:
        """Drives `q` in Amaranth's simulator: `simulator.add_process(macro.process)`."""
        assert isinstance(self.model, CacheArrayParams)
        model = CacheArrayModel(self.model)
        ports = (self.read, self.write, self.index, self.mask, self.data)
        async for _, _, read, write, index, mask, data in ctx.tick().sample(*ports):
            if model.edge(read=read, write=write, index=index, mask=mask, data=data):
                ctx.set(self.q, model.q)


class CacheArrayModel:
    """The macro's ports, clock edge by clock edge; what is unknown is 0."""

    def __init__(self, array: CacheArrayParams):
        self.array = array
        self.words: dict[int, int] = {}
        self.q = 0
        self._next = 0
        self._left = 0

    def edge(self, *, read: int, write: int, index: int, mask: int, data: int) -> bool:
        """One rising edge with the ports as they are before it; whether `q` is new."""
        array = self.array
        if write:
            if index < array.depth:
                ones = (1 << array.granule) - 1
                bits = sum(ones << n * array.granule for n in range(array.granules) if mask >> n & 1)
                self.words[index] = self.words.get(index, 0) & ~bits | data & bits
        elif read:
            if index < array.depth:
                self._next = self.words.get(index, 0)
            self._left = array.read_cycles
        if not self._left:
            return False
        self._left -= 1
        if self._left:
            return False
        self.q = self._next
        return True


class CacheArray(Component):
    """The macro, and whether it can be accessed.

    Parameters: array, CacheArrayParams.

    Ports: those of the macro, and `ready`, Out(1): an access may be made in this cycle; registered.
    """

    def __init__(self, *, array: CacheArrayParams):
        _check(array)
        self._array = array
        super().__init__({**array_ports(array), "ready": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.macro = macro = CacheArrayMacro(array=self._array)
        ports = array_ports(self._array)
        m.d.comb += [getattr(macro, name).eq(getattr(self, name)) for name in ports if name != "q"]
        m.d.comb += self.q.eq(macro.q)
        cycles = {"read": self._array.read_cycles, "write": self._array.write_cycles}
        left = Signal(range(max(cycles.values())))
        m.d.comb += self.ready.eq(left == 0)
        with m.If(self.write):
            m.d.sync += left.eq(cycles["write"] - 1)
        with m.Elif(self.read):
            m.d.sync += left.eq(cycles["read"] - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return m
