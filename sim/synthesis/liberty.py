"""Reads Liberty files (.lib, plain or gzip): from text to groups with attributes, without knowing what they mean.

A reader of its own: the one that PyPI keeps (liberty-parser) is under the GPL, brings SymPy along and takes ten times
as long.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ohmweave.errors import OhmweaveError

__all__ = ["MAX_BYTES", "Group", "parse", "read_text"]

#: Most bytes that one file may unpack to; the largest of the common kits has 40 MB.
MAX_BYTES = 256 << 20
GZIP = b"\x1f\x8b"

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONTINUED = re.compile(r"\\(?=[ \t\r]*\n)")
# Possessive quantifiers: text that is not Liberty fails at once, however long it is.
_STATEMENT = re.compile(
    r"""[\s;]*+ (?:
      (?P<close> \} )
    | (?P<name> [\w.$\[\]]++ ) \s*+ (?:
        : [^\S\n]*+ (?P<value> "[^"]*+" | [^;{}\n"]*+ )
      | \( (?P<args> (?: "[^"]*+" | [^()"]++ | \([^()"]*+\) )*+ ) \) \s*+ (?P<open> \{ )?
      )
    )""",
    re.VERBOSE,
)
_SKIPPED = re.compile(r"[\s;]*+")
_REST = re.compile(r"[\s;]*+\Z")
_ARGUMENT = re.compile(r'"([^"]*)"|([^,"\s][^,"]*)')


@dataclass(slots=True)
class Group:
    """A group: its kind, such as "cell", what stands in its parentheses, its attributes and the groups in it.

    attributes  name → the values in the order of the file, as text without quotes; those of a complex attribute as
                they stand between its parentheses
    """

    kind: str
    args: list[str]
    attributes: dict[str, list[str]] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def each(self, kind: str) -> Iterator["Group"]:
        """The groups of a kind."""
        return (group for group in self.groups if group.kind == kind)

    def text(self, name: str, default: str = "") -> str:
        """An attribute; the first value of several."""
        return self.attributes[name][0] if name in self.attributes else default

    def list(self, name: str) -> list[str]:
        """The arguments of a complex attribute."""
        return arguments(self.text(name))


def arguments(text: str) -> list[str]:
    """What stands between commas, without quotes."""
    return [(quoted or plain).strip() for quoted, plain in _ARGUMENT.findall(text)]


def read_text(path: Path) -> str:
    """The text of a Liberty file, unpacked."""
    called = f"the Liberty file {path}"
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except gzip.BadGzipFile:
        raise OhmweaveError(f"{called} must be plain text or gzip, and is damaged") from None
    except OSError as error:
        raise OhmweaveError(f"{called} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise OhmweaveError(f"{called} must be plain text or gzip, and is damaged") from None
    if len(data) > MAX_BYTES:
        raise OhmweaveError(f"{called} must have at most {MAX_BYTES} bytes, unpacked")
    return data.decode("utf-8", "replace")


def parse(text: str, path: Path) -> Group:
    """The `library` group of a file's text."""
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    # The newline stays, and so do the numbers of lines.
    text = _CONTINUED.sub(" ", text)
    root = Group("", [])
    stack = [root]
    position = 0
    scanner = _STATEMENT.scanner(text)  # type: ignore[attr-defined]
    while (found := scanner.match()) is not None:
        close, name, value, args, opened = found.groups()
        position = found.end()
        if close:
            if len(stack) == 1:
                break
            stack.pop()
            if len(stack) == 1:
                break
        elif opened:
            group = Group(name, arguments(args))
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            given = value.strip().strip('"') if args is None else args
            stack[-1].attributes.setdefault(name, []).append(given)
    if len(root.groups) != 1 or root.groups[0].kind != "library" or root.attributes:
        raise OhmweaveError(f"{path} must be a Liberty file, which starts with library (NAME) {{")
    if len(stack) > 1 or not _REST.match(text, position):
        found = _SKIPPED.match(text, position)
        line = text.count("\n", 0, found.end() if found else position) + 1
        raise OhmweaveError(f"{path} must be a Liberty file, and is none at line {line}")
    return root.groups[0]
