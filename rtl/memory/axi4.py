"""AXI4."""

from typing import Any

from amaranth.lib import enum
from amaranth.lib.wiring import In, Out, Signature

from ohmweave.check import whole
from ohmweave.params import AXIParams

__all__ = ["AXI4", "Burst", "Response"]


class Response(enum.IntEnum, shape=2):  # type: ignore[call-arg]
    """`bresp` and `rresp`."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class Burst(enum.IntEnum, shape=2):  # type: ignore[call-arg]
    """`awburst` and `arburst`."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class AXI4(Signature):
    """AXI4, seen from the manager; names and meanings are those of the standard. Without `region` and `user`.

    Parameters: address_bits, of `awaddr` and `araddr`, 1 to 64, `TypeError` if it is no such number; params, AXIParams.
    """

    def __init__(self, address_bits: int, params: AXIParams):
        whole("AXI4 address_bits", address_bits, 1, 64, error=TypeError)
        if not isinstance(params, AXIParams):
            raise TypeError(f"AXI4 params must be AXIParams, not {params!r}")
        self._address_bits = address_bits
        self._params = params
        data_bits, id_bits = params.data_bits, params.id_bits

        def address(letter: str) -> dict[str, Any]:
            return {
                f"a{letter}id": Out(id_bits),
                f"a{letter}addr": Out(address_bits),
                f"a{letter}len": Out(8),
                f"a{letter}size": Out(3),
                f"a{letter}burst": Out(2),
                f"a{letter}lock": Out(1),
                f"a{letter}cache": Out(4),
                f"a{letter}prot": Out(3),
                f"a{letter}qos": Out(4),
                f"a{letter}valid": Out(1),
                f"a{letter}ready": In(1),
            }

        super().__init__(
            {
                **address("w"),
                "wdata": Out(data_bits),
                "wstrb": Out(data_bits // 8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(id_bits),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                **address("r"),
                "rid": In(id_bits),
                "rdata": In(data_bits),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    @property
    def address_bits(self) -> int:
        return self._address_bits

    @property
    def params(self) -> AXIParams:
        return self._params

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, AXI4)
            and self.address_bits == other.address_bits
            and self.params.data_bits == other.params.data_bits
            and self.params.id_bits == other.params.id_bits
        )

    def __repr__(self) -> str:
        return f"AXI4({self._address_bits}, {self._params!r})"
