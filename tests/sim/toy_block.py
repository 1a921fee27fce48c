"""A block with everything that synthesis treats in its own way, small enough to be mapped in a second."""

from amaranth.hdl import Cat, Module
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.sim.backends import ChipSource


class Adder(Component):
    """Registered sum and product."""

    a: In(4)
    b: In(4)
    sum: Out(5)
    product: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.sum.eq(self.a + self.b), self.product.eq(self.a * self.b)]
        return m


class Toy(Component):
    """Two equal adders, a memory of 64 bits and one of 256."""

    address: In(4)
    a: In(4)
    b: In(4)
    write: In(1)
    small: Out(8)
    large: Out(16)
    sums: Out(10)

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Adder()
        m.submodules.second = second = Adder()
        m.submodules.few = few = Memory(shape=8, depth=8, init=[])
        m.submodules.many = many = Memory(shape=16, depth=16, init=[])
        m.d.comb += [first.a.eq(self.a), first.b.eq(self.b), second.a.eq(self.b), second.b.eq(self.a + 1)]
        wide = Cat(second.product, first.product)
        for memory, value, out in ((few, first.product, self.small), (many, wide, self.large)):
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [write.addr.eq(self.address), write.data.eq(value), write.en.eq(self.write)]
            m.d.comb += [read.addr.eq(self.address), out.eq(read.data)]
        m.d.comb += self.sums.eq(first.sum + second.sum)
        return m


TOY = ChipSource(Toy, top="toy")
