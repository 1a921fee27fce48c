"""What the parts of the memory system hand each other."""

from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out, Signature

from ohmweave.params import CacheParams

__all__ = ["CacheEvents", "Kind", "LineMemory", "RequestLayout", "ResponseLayout"]


class Kind(enum.IntEnum, shape=3):  # type: ignore[call-arg]
    """What a request to the cache asks for; the values above are none."""

    READ = 0
    WRITE = 1
    PREFETCH = 2  # bring the line in
    FLUSH = 3  # write all that was changed back to memory
    INVALIDATE = 4  # flush, and forget every line that is as in memory


class RequestLayout(data.StructLayout):
    """A request to the cache: `kind`, `address` in bytes, and for a write `data` and `strobe`, a bit a byte.

    The bits of the address inside a word of port_bits are not looked at.
    """

    def __init__(self, params: CacheParams):
        super().__init__(
            {
                "kind": 3,
                "address": params.address_bits,
                "data": params.port_bits,
                "strobe": params.port_bits // 8,
            }
        )


class ResponseLayout(data.StructLayout):
    """An answer: `data`, 0 unless a read was answered, and `error`, the request was not carried out."""

    def __init__(self, params: CacheParams):
        super().__init__({"data": params.port_bits, "error": 1})


class LineMemory(Signature):
    """Whole lines to and from memory, seen from who wants them; everything in the order in which it was asked for.

    Parameters: address_bits, of the number of a line; line_bits.

    Members
    -------
    read : Out(stream(address_bits))
        Lines that are wanted.
    filled : In(stream({line, error}))
        A line for each of them, or an `error`.
    write : Out(stream({address, line}))
        Lines to be written. Its `ready` must not wait for `valid`.
    written : In(stream({error}))
        The end of each write: memory has the line, or there was an `error`.
    """

    def __init__(self, address_bits: int, line_bits: int):
        self._key = (address_bits, line_bits)
        line = {"line": line_bits}
        super().__init__(
            {
                "read": Out(stream.Signature(address_bits)),
                "filled": In(stream.Signature(data.StructLayout({**line, "error": 1}))),
                "write": Out(stream.Signature(data.StructLayout({"address": address_bits, **line}))),
                "written": In(stream.Signature(data.StructLayout({"error": 1}))),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LineMemory) and self._key == other._key

    def __repr__(self) -> str:
        return f"LineMemory({self._key[0]}, {self._key[1]})"


class CacheEvents(data.Struct):
    """Each high for one cycle when it happens, for counters.

    hit        a read, write or prefetch found its line; counted when it is carried out
    miss       one did not; counted when a place was chosen
    write_back  a changed line is to leave: for a miss, or a flush
    failure    a line was not brought in, or not written back, for an error of memory
    """

    hit: 1
    miss: 1
    write_back: 1
    failure: 1
