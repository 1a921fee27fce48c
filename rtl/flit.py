"""Words on the links."""

from amaranth.lib import data, stream

__all__ = ["CONFIG_BITS", "MAX_TURN", "ConfigWrite", "FlitLayout", "flit_stream"]

#: Bits of an address and of a word of configuration; a link has to be as wide.
CONFIG_BITS = 16
#: The longest turn that a switch or a node of the trees can be told, in flits.
MAX_TURN = (1 << CONFIG_BITS) - 1


class FlitLayout(data.StructLayout):
    """One flit: `data` of link_bits, and `config`, the sideband wire that marks configuration flits.

    Activations travel four bits each, lowest bits first, the channels of a pixel in order, pixels in raster order;
    a frame that does not fill its last flit is padded with zeros.
    """

    def __init__(self, link_bits: int):
        super().__init__({"data": link_bits, "config": 1})


def flit_stream(link_bits: int) -> stream.Signature:
    """Stream of flits over one link."""
    return stream.Signature(FlitLayout(link_bits))


class ConfigWrite(data.Struct):
    """One write to a unit's configuration space: 16-bit `address`, 16-bit `data`.

    A component that is configured has a port `config: In(stream.Signature(ConfigWrite))`; it decodes the addresses
    of its own region and holds `ready` low only while it cannot take the write (an array row being programmed).
    """

    address: CONFIG_BITS
    data: CONFIG_BITS
