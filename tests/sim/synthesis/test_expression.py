"""Boolean functions of Liberty files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.expression import evaluate, names, parse_expression, same_function, truth_table


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("A", 0b10), ("!A", 0b01), ("A'", 0b01), ("!(!A)", 0b10), ("0", 0b00), ("1", 0b11),
        ("A & B", 0b1000), ("A*B", 0b1000), ("A B", 0b1000), ("A|B", 0b1110), ("A + B", 0b1110), ("A^B", 0b0110),
        ("!A & !B", 0b0001), ("(A B)'", 0b0111), ("!(A B)", 0b0111), ("A + B * !A", 0b1110),
        ("A B | C", 0b11111000), ("A | B & C", 0b11101010), ("A ^ B & C", 0b01100000), ("A B' + C", 0b11110010),
    ],
)  # fmt: skip
def test_table(text: str, table: int) -> None:
    tree = parse_expression(text)
    assert truth_table(tree, sorted(names(tree)) or ["A"]) == table


def trees() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(["A", "B", "C", "0", "1"]),
        lambda inner: st.one_of(
            inner.map(lambda text: f"!{text}" if len(text) == 1 else f"!({text})"),
            st.tuples(inner, st.sampled_from("&|^"), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        ),
        max_leaves=12,
    )


@given(trees())
def test_against_python(text: str) -> None:
    """Python's own operators on the same text."""
    tree = parse_expression(text)
    for row in range(8):
        bits = {"A": row & 1, "B": row >> 1 & 1, "C": row >> 2 & 1}
        python = eval(text.replace("!", "1 ^ ") if "!" not in text else _python(text), {}, bits)
        assert evaluate(tree, bits) & 1 == python & 1


def _python(text: str) -> str:
    return text.replace("!", "~")


@pytest.mark.parametrize(
    "text", ["", "A &", "(A", "A)", "A & | B", "A ? B", "!", "'", "&A", "(" * 9999 + "A", "!" * 9999]
)
def test_refused(text: str) -> None:
    with pytest.raises(OhmweaveError) as refused:
        parse_expression(text)
    assert str(refused.value) == (
        f"a function of a Liberty file must be a Boolean expression, not {text[:80]!r}"
    )


def test_same_function() -> None:
    assert same_function("!(B1 | (A & B2))", "!((A & B) | C)", ["A", "B1", "B2"])
    assert not same_function("!(B1 & (A | B2))", "!((A & B) | C)", ["A", "B1", "B2"])
    assert not same_function("!A", "!(A & B)", ["A"])
