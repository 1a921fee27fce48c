"""A part's evaluations cut into pieces: what the C++ compiler takes for a function grows faster than its length.

Of a function of half a megabyte GCC makes in a minute what it makes of a hundred short ones in ten seconds. What is
local to an evaluation becomes a member of the part, so that the pieces share it; statements keep their order.
"""

import re

__all__ = ["in_pieces", "without_unused"]

#: Characters of a piece, beyond which another one begins.
LENGTH = 5000

_FUNCTION = re.compile(
    r"^(?:bool|void) (?P<part>\w+)::(?P<name>\w+)\((?P<parameter>performer \*performer)?\) \{\n"
    r"(?P<body>.*?)^\}\n",
    re.MULTILINE | re.DOTALL,
)
_LOCAL = re.compile(r"\tvalue<\d+> (\w+);")
_EDGE = "\tif (posedge_p_clk) {"
#: What opens and closes an evaluation, around its pieces.
_OPENS = ("\tbool converged = ", "\tbool posedge_p_clk = ", "\tconstexpr bool posedge_p_clk = ")
_CLOSES = "\treturn converged;"
_NAME = re.compile(r"(?<![>.\w])[ip]_\w+")


def statements(body: str) -> list[str]:
    """The statements of a function, comments left out; those that use an `auto` variable are one with it."""
    found: list[str] = []
    lines: list[str] = []
    depth = 0
    for line in body.split("\n"):
        if not line or line.lstrip().startswith("//"):
            continue
        lines.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0:
            text = "\n".join(lines)
            lines = []
            variable = found and re.search(r"^\t(?:const )?auto (\w+) =", found[-1], re.MULTILINE)
            if variable and re.search(rf"\b{variable[1]}\b", text):
                found[-1] += f"\n{text}"
            else:
                found.append(text)
    return found


def without_unused(body: str) -> str:
    """The body of an evaluation that sees no clock edge, less what only an edge does and what nothing outside reads."""
    texts = statements(body)
    local = {match[1] for text in texts if (match := _LOCAL.fullmatch(text))}
    wanted: set[str] = set()
    kept: list[str] = []
    for text in reversed(texts):
        if text.startswith(_EDGE):
            continue
        target = text.partition(" = ")[0]
        names = set(_NAME.findall(target))
        if "\n" not in text and "->" not in target and names and names <= local and not names & wanted:
            continue
        wanted.update(_NAME.findall(text))
        kept.append(text)
    return "\n".join(kept[::-1]) + "\n"


def in_pieces(header: str, source: str, part: str) -> tuple[str, str]:
    """Header and source of the C++ class `part` with every long evaluation in pieces."""
    declarations: list[str] = []

    def cut(match: re.Match[str]) -> str:
        body = match["body"]
        if match["part"] != part or len(body) < 2 * LENGTH:
            return match[0]
        parameter, edge = match["parameter"], "posedge_p_clk" in body
        takes = [parameter, "bool &converged"] if parameter else []
        gives = ["performer", "converged"] if parameter else []
        if edge:
            takes.append("bool posedge_p_clk")
            gives.append("posedge_p_clk")
        pieces: list[list[str]] = [[]]
        opening: list[str] = []
        closing: list[str] = []
        for text in statements(body):
            if _LOCAL.fullmatch(text):
                declarations.append(text)
            elif text.startswith(_OPENS):
                opening.append(text)
            elif text == _CLOSES:
                closing.append(text)
            else:
                if sum(map(len, pieces[-1])) > LENGTH:
                    pieces.append([])
                pieces[-1].append(text)
        functions: list[str] = []
        for number, piece in enumerate(pieces):
            name = f"{match['name']}_{number}({', '.join(takes)})"
            declarations.append(f"\t__attribute__((noinline)) void {name};")
            functions.append(f"void {part}::{name} {{\n" + "\n".join(piece) + "\n}\n")
        calls = [f"\t{match['name']}_{number}({', '.join(gives)});" for number in range(len(pieces))]
        whole = "\n".join([*opening, *calls, *closing])
        return "".join(functions) + match[0].replace(body, f"{whole}\n")

    source = _FUNCTION.sub(cut, source)
    # What waves are drawn from has been declared: the same names, made again before each look at them.
    before, opening, members = header.partition(f"struct {part} : public module {{\n")
    known = set(re.findall(r"^\t/\*outline\*/ value<\d+> (\w+);", members, re.MULTILINE))
    new = [text for text in dict.fromkeys(declarations) if text.rpartition(" ")[2].rstrip(";") not in known]
    return before + opening + "".join(f"{text}\n" for text in new) + members, source
