"""C++ around a part that CXXRTL translated: the black box of its parent, asleep while nothing can change in it."""

import re
from collections.abc import Collection, Sequence

from ohmweave.sim.backends.hierarchy import Port, mangle

__all__ = ["PREAMBLE", "gate", "namespace", "registered_outputs"]


#: Outputs of parts are values, or wires where CXXRTL found that they need to be.
PREAMBLE = """
#include <cxxrtl/cxxrtl.h>
using namespace cxxrtl;
template<size_t Bits> static const value<Bits> &get(const value<Bits> &port) { return port; }
template<size_t Bits> static const value<Bits> &get(const wire<Bits> &port) { return port.curr; }
template<size_t Bits> static void put(value<Bits> &port, const value<Bits> &to) { port = to; }
template<size_t Bits> static void put(wire<Bits> &port, const value<Bits> &to) { port.curr = port.next = to; }
"""


def namespace(top: str) -> str:
    """C++ namespace of a translated part."""
    return f"part_{mangle(top)}"


def registered_outputs(top: str, header: str, source: str) -> frozenset[str]:
    """C++ names of the outputs that a part drives with flip-flops alone.

    CXXRTL makes those wires. So it does with feedback, and then nothing is known.
    """
    body = source[source.index(f"bool {mangle(top)}::eval(") :]
    if "bool converged = true;" not in body[:200]:
        return frozenset()
    return frozenset(re.findall(r"/\*output\*/ wire<\d+> (p_\w+);", header))


def gate(parent: str, child: str, ports: Sequence[Port], registered: Collection[str]) -> str:
    """Implementation of `child`'s black box in `parent`, by the part that CXXRTL made of `child`.

    A deterministic machine that a clock edge did not change stays as it is for as long as its inputs do, so that
    neither its outputs nor its next state have to be computed again:

    - clock low: evaluated if an input or the state has changed since the last time;
    - rising edge: evaluated if an input has changed, or the state did at the last edge.

    The clock itself is not compared: CXXRTL's edge detector is set just before an edge is evaluated.
    """
    box, inner = f"{namespace(parent)}::bb_{mangle(child)}", f"{namespace(child)}::{mangle(child)}"
    inputs = [mangle(port.name) for port in ports if not port.output and port.name != "clk"]
    outputs = [mangle(port.name) for port in ports if port.output]
    compare = "\n".join(
        f"\t\tif (inner.{name} != {name}) {{ inner.{name} = {name}; fresh = true; }}" for name in inputs
    )
    settled = "\n".join(f"\t\tput({name}, get(inner.{name}));" for name in outputs if name not in registered)
    clocked = "\n".join(f"\t\t{name}.curr = inner.{name}.curr;" for name in outputs if name in registered)
    name = f"Gate_{mangle(parent)}_{mangle(child)}"
    return f"""
struct {name} final : public {box} {{
	{inner} inner;
	bool unsettled = true, moving = true, edge = false;

	{name}() {{
		copy_registered();
	}}

	void copy_registered() {{
{clocked}
	}}

	void reset() override {{
		inner.reset();
		copy_registered();
		unsettled = moving = true;
		edge = false;
	}}

	bool eval(performer *performer) override {{
		bool fresh = false;
{compare}
		if (fresh)
			unsettled = moving = true;
		if (p_clk) {{
			if (moving) {{
				inner.prev_p_clk = value<1>{{0u}};
				inner.p_clk = value<1>{{1u}};
				inner.eval(performer);
				edge = true;
			}}
		}} else if (unsettled) {{
			inner.p_clk = value<1>{{0u}};
			inner.step(performer);
{settled}
			unsettled = false;
		}}
		return true;
	}}

	bool commit() override {{
		if (!edge)
			return false;
		edge = false;
		moving = inner.commit();
		if (moving) {{
			unsettled = true;
			copy_registered();
		}}
		return moving;
	}}

	bool commit(observer &) override {{
		return commit();
	}}
}};

std::unique_ptr<{box}> {box}::create(std::string, metadata_map, metadata_map) {{
	return std::make_unique<{name}>();
}}
"""
