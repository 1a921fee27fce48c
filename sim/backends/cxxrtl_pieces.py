"""A part's functions cut into pieces: what the C++ compiler takes for a function grows faster than its length.

Of a function of half a megabyte GCC makes in a minute what it makes of a hundred short ones in ten seconds. What is
local to an evaluation becomes a member of the part, so that the pieces share it; statements keep their order. What
stands in the header, and would be made anew in each file that includes it, gets into the source.
"""

import re

__all__ = ["in_files", "in_pieces", "out_of_header", "without_unused"]

#: Characters of a piece, beyond which another one begins.
LENGTH = 5000

#: Characters of a file, beyond which another one begins, for another processor to compile.
FILE_LENGTH = 4_000_000
_NAMESPACE = re.compile(r"^namespace \w+ \{\n", re.MULTILINE)

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


def out_of_header(header: str, source: str, part: str) -> tuple[str, str]:
    """Header and source of the C++ class `part` with its construction and its commit in the source, that in pieces."""
    construction = re.compile(
        rf"^\t{part}\(interior\) \{{\}}\n\t{part}\(\) \{{\n\t\treset\(\);\n\t\}};\n", re.MULTILINE
    )
    committing = re.compile(
        r"^\ttemplate<class ObserverT>\n\tbool commit\(ObserverT &observer\) \{\n(?P<body>.*?)^\t\}\n"
        r"(?P<plain>.*?)commit<>\(observer\)",
        re.MULTILINE | re.DOTALL,
    )
    begin = header.index(f"struct {part} : public module {{\n")
    before, members = header[:begin], header[begin:]
    found = committing.search(members)
    assert found, f"CXXRTL wrote {part} without a commit"
    assert construction.search(members), f"CXXRTL wrote another construction of {part}"
    lines = found["body"].splitlines()[1:-1]  # without the declaration and the return of `changed`
    per_piece = max(1, LENGTH // 60)
    pieces = [lines[start : start + per_piece] for start in range(0, len(lines), per_piece)]
    takes = "observer &observer, bool &changed"
    members = members.replace(
        found[0],
        "".join(
            f"\t__attribute__((noinline)) void commit_{number}({takes});\n" for number in range(len(pieces))
        )
        + f"\tbool commit(observer &observer);\n{found['plain']}commit(observer)",
    )
    members = construction.sub(f"\t{part}(interior);\n\t{part}();\n\t~{part}();\n", members)
    functions = [
        # Done once.
        f"__attribute__((cold)) {part}::{part}(interior) {{}}\n",
        f"{part}::{part}() : {part}(interior()) {{\n\treset();\n}}\n",
        f"__attribute__((cold)) {part}::~{part}() {{}}\n",
    ]
    for number, piece in enumerate(pieces):
        text = "\n".join(line.removeprefix("\t") for line in piece)
        functions.append(f"void {part}::commit_{number}({takes}) {{\n{text}\n}}\n")
    calls = "".join(f"\tcommit_{number}(observer, changed);\n" for number in range(len(pieces)))
    functions.append(
        f"bool {part}::commit(observer &observer) {{\n\tbool changed = false;\n{calls}\treturn changed;\n}}\n"
    )
    place = _NAMESPACE.search(source)
    assert place, f"CXXRTL wrote no namespace around {part}"
    return before + members, source[: place.end()] + "\n" + "\n".join(functions) + source[place.end() :]


def in_files(source: str) -> list[str]:
    """The source of a part as one or more files, each with some of the functions."""
    place = _NAMESPACE.search(source)
    count = -(-len(source) // FILE_LENGTH)
    if place is None or count == 1:
        return [source]
    opening, closing = source[: place.end()], source[source.rindex("\n} // namespace ") :]
    body = source[place.end() : -len(closing)]
    files: list[str] = []
    start = 0
    for number in range(1, count + 1):
        end = body.find("\n}\n", len(body) * number // count) + len("\n}\n")
        if number == count or end < len("\n}\n"):
            end = len(body)
        files.append(opening + body[start:end] + closing)
        start = end
    return files
