"""A block between shift registers, for FPGAs with fewer pins than it has ports."""

from collections.abc import Sequence

from ohmweave.sim.backends.hierarchy import Port

__all__ = ["HARNESS", "harness"]

#: Name of the module around the block.
HARNESS = "ohmweave_harness"

_TEXT = """\
// Registers at every port of the block, filled through `i` and read through `o`.
module {name}(input clk, input rst, input i, input load, output o);
  reg [{inputs}:0] driven;
  reg [{outputs}:0] seen;
  wire [{outputs}:0] given;
  always @(posedge clk) begin
    driven <= {{driven, i}};
    seen <= load ? given : {{1'b0, seen}} >> 1;
  end
  assign o = seen[0];
  {top} block({ports});
endmodule
"""


def harness(top: str, ports: Sequence[Port]) -> str:
    """Verilog of the module HARNESS around `top`; `clk` and `rst` are passed on."""
    named = {port.name for port in ports}
    connections = [f".{name}({name})" for name in ("clk", "rst") if name in named]
    places = {False: 0, True: 0}
    for port in ports:
        if port.name not in ("clk", "rst") and port.width:
            first = places[port.output]
            places[port.output] = first + port.width
            vector = "given" if port.output else "driven"
            connections.append(f".{port.name}({vector}[{first + port.width - 1}:{first}])")
    return _TEXT.format(
        name=HARNESS,
        top=top,
        inputs=max(places[False], 1) - 1,
        outputs=max(places[True], 1) - 1,
        ports=", ".join(connections),
    )
