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

    Members
    -------
    tdata : Out(width)
    tlast : Out(1)
    tvalid : Out(1)
        Never waits for `tready`; once it is high, all three stay until the transfer.
    tready : In(1)

    Raises
    ------
    TypeError
        `width` is no whole number of its range.
    ValueError
        `width` is not a number of whole bytes.
    """

    def __init__(self, width: int):
        whole("AXI4-Stream width", width, 8, 1024, error=TypeError)
        if width % 8:
            raise ValueError(f"AXI4-Stream width must be a multiple of 8, not {width!r}")
        self._width = width
        super().__init__({"tdata": Out(width), "tlast": Out(1), "tvalid": Out(1), "tready": Out(1).flip()})

    @property
    def width(self) -> int:
        return self._width

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AXIStream) and self.width == other.width

    def __repr__(self) -> str:
        return f"AXIStream({self._width})"
