"""Boolean functions of Liberty: `!A`, `A'`, `A & B`, `A * B`, `A B`, `A | B`, `A + B`, `A ^ B`, 0 and 1."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ohmweave.errors import OhmweaveError

__all__ = ["Expression", "evaluate", "names", "parse_expression", "truth_table"]

#: ("pin", name), ("const", 0 or 1), ("not", e), ("and" | "or" | "xor", e, e)
Expression: TypeAlias = tuple

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w\[\].]*)|([01])|([!'&*|+^()]))")
# Deeper ones are of no cell; Python's own stack would end at some depth.
DEPTH = 64


def parse_expression(text: str) -> Expression:
    """The function as a tree; the order of binding is ', !, ^, &, |."""
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _refused(text)
        tokens.append(found[0].strip())
        position = found.end()
    parser = _Parser(tokens, text)
    tree = parser.either(0)
    if parser.tokens:
        raise _refused(text)
    return tree


def _refused(text: str) -> OhmweaveError:
    return OhmweaveError(f"a function of a Liberty file must be a Boolean expression, not {text[:80]!r}")


class _Parser:
    """Recursive descent; each level takes its tokens from the front."""

    def __init__(self, tokens: Sequence[str], text: str):
        self.tokens = list(reversed(tokens))
        self.text = text

    def _next(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def either(self, depth: int) -> Expression:
        tree = self.both(depth)
        while self._next() in ("|", "+"):
            self.tokens.pop()
            tree = ("or", tree, self.both(depth))
        return tree

    def both(self, depth: int) -> Expression:
        tree = self.differ(depth)
        # Two that stand side by side are an AND.
        while self._next() and self._next() not in ("|", "+", ")"):
            if self._next() in ("&", "*"):
                self.tokens.pop()
            tree = ("and", tree, self.differ(depth))
        return tree

    def differ(self, depth: int) -> Expression:
        tree = self.single(depth)
        while self._next() == "^":
            self.tokens.pop()
            tree = ("xor", tree, self.single(depth))
        return tree

    def single(self, depth: int) -> Expression:
        if not self.tokens or depth > DEPTH:
            raise _refused(self.text)
        token = self.tokens.pop()
        if token == "!":
            return ("not", self.single(depth + 1))
        if token == "(":
            tree = self.either(depth + 1)
            if self._next() != ")":
                raise _refused(self.text)
            self.tokens.pop()
        elif token in ("0", "1"):
            tree = ("const", int(token))
        elif token[0].isalpha() or token[0] == "_":
            tree = ("pin", token)
        else:
            raise _refused(self.text)
        while self._next() == "'":
            self.tokens.pop()
            tree = ("not", tree)
        return tree


def names(tree: Expression) -> list[str]:
    """The pins that a function reads, each once, in the order of the text."""
    if tree[0] == "pin":
        return [tree[1]]
    if tree[0] == "const":
        return []
    return list(dict.fromkeys(name for part in tree[1:] for name in names(part)))


def evaluate(tree: Expression, values: Mapping[str, int]) -> int:
    """The function's bit for a bit of each pin; with more bits in a word, of each position on its own.

    All bits of a word count: give those of a NOT to a mask of the width.
    """
    kind = tree[0]
    if kind == "pin":
        return values[tree[1]]
    if kind == "const":
        return -tree[1]
    if kind == "not":
        return ~evaluate(tree[1], values)
    left, right = evaluate(tree[1], values), evaluate(tree[2], values)
    return left & right if kind == "and" else left | right if kind == "or" else left ^ right


def truth_table(tree: Expression, inputs: Sequence[str]) -> int:
    """Bit i is the function's value where input k has bit k of i."""
    rows = 1 << len(inputs)
    columns = {
        name: sum(1 << row for row in range(rows) if row >> place & 1) for place, name in enumerate(inputs)
    }
    return evaluate(tree, columns) & ((1 << rows) - 1)


def same_function(text: str, other: str, inputs: Sequence[str]) -> bool:
    """Whether two functions of as many inputs are the same but for the order of the inputs.

    other  of the names A, B, C ...
    """
    tree, wanted = parse_expression(text), parse_expression(other)
    given = names(wanted)
    if len(inputs) != len(given):
        return False
    table = truth_table(wanted, given)
    return any(truth_table(tree, order) == table for order in itertools.permutations(inputs))
