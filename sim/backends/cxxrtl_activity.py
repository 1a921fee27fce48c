"""Makes the parts that CXXRTL translated tell what they hold, for the recording of activity (`templates/activity.h`).

What is told of an instance is all that decides what every gate in it does in a cycle: its registers, its inputs, the
outputs of the macros and of the parts in it, and the words of its small memories.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ohmweave.sim.backends.cxxrtl_gate import namespace
from ohmweave.sim.backends.hierarchy import mangle

__all__ = ["MEMORY_BITS", "Recorded", "recording_gate", "recording_part", "unmangle"]

#: Memories of at most so many bits are recorded word by word: larger ones are macros, of which the outputs count.
MEMORY_BITS = 4096
_BOX = re.compile(r"^struct bb_(\w+) : public module \{\n(.*?)^\}; // struct", re.MULTILINE | re.DOTALL)
_BOX_OUTPUT = re.compile(r"^\t/\*output\*/ (wire|value)<(\d+)> (\w+);", re.MULTILINE)
_CELL = re.compile(r"\bbb_(\w+)> (cell_\w+) = bb_\w+::create\(\"([^\"]*)\"")
_MEMBER = re.compile(
    r"^\t(?:(?:/\*(?:output|inout)\*/ )?wire<(?P<register>\d+)> (?P<name>\w+);"
    r"|/\*input\*/ value<(?P<input>\d+)> (?P<port>\w+);"
    r"|memory<(?P<width>\d+)> (?P<memory>memory_\w+) \{ (?P<depth>\d+)u \};)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Recorded:
    """One value of a part: its name, with the instances around it, and its bits.

    kind  "register", "input", "output" of a box, or "word" of a memory
    """

    name: str
    bits: int
    kind: str


def unmangle(name: str) -> str:
    """The public RTLIL name that CXXRTL made a C++ name of."""
    text = name.removeprefix("p_")
    return re.sub(r"__|_([0-9a-f]{2})_", lambda found: chr(int(found[1], 16)) if found[1] else "_", text)


def recording_part(part: str, header: str, source: str) -> tuple[str, str, list[Recorded]]:
    """Header and source of a part with `values`, and what that gives, in order."""
    begin = header.index(f"struct {mangle(part)} : public module {{\n")
    boxes, members = header[:begin], header[begin:]
    outputs = {name: _BOX_OUTPUT.findall(body) for name, body in _BOX.findall(boxes)}
    recorded: list[Recorded] = []
    lines: list[str] = []

    def put(name: str, bits: int, kind: str, value: str) -> None:
        recorded.append(Recorded(name, bits, kind))
        lines.append(f"\tohmweave::put_value(to, self.{value});")

    for found in _MEMBER.finditer(members):
        if found["register"]:
            put(unmangle(found["name"]), int(found["register"]), "register", f"{found['name']}.curr")
        elif found["input"]:
            put(unmangle(found["port"]), int(found["input"]), "input", found["port"])
        elif int(found["width"]) * int(found["depth"]) <= MEMORY_BITS:
            name = unmangle(found["memory"].removeprefix("memory_"))
            for address in range(int(found["depth"])):
                put(f"{name}[{address}]", int(found["width"]), "word", f"{found['memory']}[{address}u]")
    for box, cell, instance in _CELL.findall(members):
        for kind, bits, port in outputs[box]:
            name = f"{instance.replace(' ', '.')}.{unmangle(port)}"
            put(name, int(bits), "output", f"{cell}->{port}{'.curr' if kind == 'wire' else ''}")
    declaration = "\tstatic void values(const void *part, std::vector<uint32_t> &to);\n"
    opening = f"struct {mangle(part)} : public module {{\n"
    header = boxes.replace(
        "#include <cxxrtl/cxxrtl.h>\n", '#include <cxxrtl/cxxrtl.h>\n#include "activity.h"\n'
    )
    header += members.replace(opening, opening + declaration, 1)
    body = "\n".join(lines)
    source += f"""
namespace {namespace(part)} {{
__attribute__((cold)) void {mangle(part)}::values(const void *part, std::vector<uint32_t> &to) {{
	const {mangle(part)} &self = *static_cast<const {mangle(part)} *>(part);
	(void)self;
{body}
}}
}}
"""
    return header, source, recorded


def recording_gate(text: str, child: str) -> str:
    """The black box of an instance of part `child` (`cxxrtl_gate.gate`), which enters itself in the recording."""
    made = re.search(r"::create\(std::string, metadata_map, metadata_map\) \{\n\treturn (.*);\n\}", text)
    assert made, "a gate is made by `create`"
    return text.replace(
        made[0],
        f"""::create(std::string name, metadata_map, metadata_map) {{
	ohmweave::ActivityPath path(name);
	auto made = {made[1]};
	ohmweave::activity().instances.push_back({{
		ohmweave::activity().path, "{child}", &made->inner, decltype(made->inner)::values, &made->moving,
	}});
	return made;
}}""",
    )


def layout(parts: Mapping[str, Sequence[Recorded]]) -> list[list[object]]:
    """What stands in `layout.json`: part, then name, bits and kind of each value."""
    return [
        [part, [[value.name, value.bits, value.kind] for value in values]] for part, values in parts.items()
    ]
