"""AXI4-Stream."""

from amaranth.lib.wiring import Out, Signature

from ohmweave.check import whole

__all__ = ["AXIStream"]


class AXIStream(Signature):
    """AXI4-Stream with `tlast`, seen from the transmitter; names and meanings are those of the standard.

    Parameters
    ----------
    width : int
        Bits of `tdata`, a multiple of 8 up to 1024.
    dest_bits : int
        Bits of `tdest`, up to 8; 0: there is none.

    Members
    -------
    tdata : Out(width)
    tlast : Out(1)
    tdest : Out(dest_bits)
        Where there is one.
    tvalid : Out(1)
        Never waits for `tready`; once it is high, all of these stay until the transfer.
    tready : In(1)

    Raises
    ------
    TypeError
        `width` or `dest_bits` is no whole number of its range.
    ValueError
        `width` is not a number of whole bytes.
    """

    def __init__(self, width: int, dest_bits: int = 0):
        whole("AXI4-Stream width", width, 8, 1024, error=TypeError)
        whole("AXI4-Stream dest_bits", dest_bits, 0, 8, error=TypeError)
        if width % 8:
            raise ValueError(f"AXI4-Stream width must be a multiple of 8, not {width!r}")
        self._width = width
        self._dest_bits = dest_bits
        dest = {"tdest": Out(dest_bits)} if dest_bits else {}
        super().__init__(
            {"tdata": Out(width), "tlast": Out(1), **dest, "tvalid": Out(1), "tready": Out(1).flip()}
        )

    @property
    def width(self) -> int:
        return self._width

    @property
    def dest_bits(self) -> int:
        return self._dest_bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AXIStream) and (self.width, self.dest_bits) == (other.width, other.dest_bits)

    def __repr__(self) -> str:
        return f"AXIStream({self._width}, {self._dest_bits})"
