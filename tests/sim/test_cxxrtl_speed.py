"""What is changed of CXXRTL's header and of its output: the same values, sooner."""

import re
import subprocess

import pytest

from ohmweave.sim.backends.cxxrtl_pieces import (
    LENGTH,
    in_pieces,
    out_of_header,
    statements,
    without_unused,
)
from ohmweave.sim.backends.cxxrtl_speed import RUNTIME, fast_header, guard_writes
from ohmweave.sim.backends.toolchain import compiler, cxxrtl_include, template

#: (bits of the value, last bit, first bit) of parts: within a word, over words, at its ends, of a single bit.
PARTS = [
    (1, 0, 0), (4, 3, 0), (32, 31, 0), (32, 31, 31), (33, 32, 32), (64, 40, 3), (64, 63, 32), (65, 64, 31),
    (96, 95, 33), (128, 100, 64), (130, 129, 1), (1536, 47, 0), (1536, 1535, 1488), (4608, 4607, 4600),
]  # fmt: skip

#: Every part of a random value, read, written and joined, bit by bit against what it has to be.
PROGRAM = r"""
#include <cstdio>
#include <cstdlib>
#include <cxxrtl/cxxrtl.h>
using namespace cxxrtl;

template<size_t Bits> value<Bits> any() {
	value<Bits> v;
	for (size_t n = 0; n < v.chunks; n++)
		v.data[n] = (unsigned(rand()) << 16) ^ rand();
	v.data[v.chunks - 1] &= v.msb_mask;
	return v;
}

template<size_t Bits> bool bit(const value<Bits> &v, size_t n) { return v.data[n / 32] >> (n % 32) & 1; }
template<size_t Bits> bool clean(const value<Bits> &v) { return !(v.data[v.chunks - 1] & ~v.msb_mask); }

int wrong = 0;
void same(bool a, bool b) { wrong += a != b; }

template<size_t Bits, size_t Stop, size_t Start> void part() {
	constexpr size_t size = Stop - Start + 1;
	for (int round = 0; round < 20; round++) {
		const value<Bits> whole = any<Bits>();
		const value<size> other = any<size>(), read = whole.template slice<Stop, Start>().val();
		same(clean(read), true);
		for (size_t n = 0; n < size; n++)
			same(bit(read, n), bit(whole, Start + n));
		value<Bits> written = whole;
		written.template slice<Stop, Start>() = other;
		for (size_t n = 0; n < Bits; n++)
			same(bit(written, n), n < Start || n > Stop ? bit(whole, n) : bit(other, n - Start));
		const auto joined = whole.concat(other).concat(read).val();
		same(clean(joined), true);
		for (size_t n = 0; n < size; n++)
			same(bit(joined, n), bit(read, n));
		for (size_t n = 0; n < size; n++)
			same(bit(joined, size + n), bit(other, n));
		for (size_t n = 0; n < Bits; n++)
			same(bit(joined, 2 * size + n), bit(whole, n));
		value<7> seven;
		written.template slice<Stop, Start>().concat(seven) = read.concat(value<7>{0x55u}).val();
		same(seven.data[0] == 0x55, true);
		for (size_t n = 0; n < Bits; n++)
			same(bit(written, n), bit(whole, n));
	}
}

int main() {
	@CALLS@
	printf("%d wrong\n", wrong);
}
"""


def fast() -> str:
    return fast_header((cxxrtl_include() / RUNTIME).read_text(), template("expressions.h"))


def test_changes_of_cxxrtl_take_hold():
    """The installed version words its header and its writes as `cxxrtl_speed` expects them."""
    header = (cxxrtl_include() / RUNTIME).read_text()
    assert fast().count("__builtin_memcmp") == header.count("__builtin_memcmp") + 1
    write = (
        "if (tmp_3.valid) {\n\t\t\tmemory_p_m.update(tmp_3.index, p_d.slice<7,0>().val(), "
        "p_en.slice<1>().val().repeat<4>().concat(p_en.slice<0>().val().repeat<4>()).val(), 0);\n"
    )
    assert guard_writes(write) == write.replace(".valid)", ".valid && !p_en.is_zero())")
    for other in ("p_en.bit_not()", "p_en.concat(p_other)", "or_uu<8>(p_en, p_en)"):
        mixed = f"if (tmp_3.valid) {{\n\t\t\tmemory_p_m.update(tmp_3.index, p_d, {other}, 0);\n"
        assert guard_writes(mixed) == mixed


@pytest.mark.parametrize("changed", [False, True])
def test_parts_of_values(tmp_path, changed):
    header = fast() if changed else (cxxrtl_include() / RUNTIME).read_text()
    (tmp_path / RUNTIME).parent.mkdir()
    (tmp_path / RUNTIME).write_text(header)
    calls = "\n\t".join(f"part<{bits}, {stop}, {start}>();" for bits, stop, start in PARTS)
    (tmp_path / "parts.cc").write_text(PROGRAM.replace("@CALLS@", calls))
    include = ["-I.", f"-I{cxxrtl_include()}"]
    command = [*compiler(), "-std=c++14", "-w", "-O1", *include, "parts.cc", "-o", "parts"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "parts"], capture_output=True, text=True).stdout == "0 wrong\n"


BODY = """\tbool converged = true;
\tvalue<4> i_used;
\tvalue<4> i_unused;
\t// a comment
\ti_used = add_uu<4>(p_in, p_state.curr);
\ti_unused = p_in;
\tif (posedge_p_clk) {
\t\tp_state.next = i_unused;
\t}
\tif (cell_p_x->eval(performer)) {
\t\tp_flag = value<1>{1u};
\t} else {
\t\tp_flag = value<1>{0u};
\t}
\tauto tmp_1 = memory_index(i_used, 0, 16);
\tif (tmp_1.valid) {
\t\tp_word = memory_p_m[tmp_1.index];
\t}
\tp_out = i_used;
\treturn converged;
"""


def test_statements():
    texts = statements(BODY)
    assert [text.split("\n")[0].strip() for text in texts] == [
        "bool converged = true;", "value<4> i_used;", "value<4> i_unused;", "i_used = add_uu<4>(p_in, p_state.curr);",
        "i_unused = p_in;", "if (posedge_p_clk) {", "if (cell_p_x->eval(performer)) {",
        "auto tmp_1 = memory_index(i_used, 0, 16);", "p_out = i_used;", "return converged;",
    ]  # fmt: skip
    assert texts[7].endswith("\t}")  # with the statement that uses its variable


def test_without_unused():
    """What only an edge does is left out, and then what only that read."""
    left = without_unused(BODY)
    assert "i_unused = " not in left
    assert "p_state.next" not in left
    assert all(text in left for text in ("i_used = add", "cell_p_x->eval", "tmp_1.valid", "p_out = i_used;"))


def test_pieces():
    """A long function is cut, with every statement once and in its order; a short one stays."""
    steps = [f"\tp_s{n} = add_uu<4>(i_used, p_in);" for n in range(LENGTH // 10)]
    header = "struct p_top : public module {\n};\n"
    short = f"bool p_top::settle(performer *performer) {{\n{BODY}}}\n"
    longer = BODY.replace("\tp_out", "\n".join([*steps, "\tp_out"]))
    source = f"bool p_top::eval(performer *performer) {{\n{longer}}}\n"
    new_header, new = in_pieces(header, short + source, "p_top")
    assert new.startswith(short)
    pieces = re.findall(r"^void p_top::(eval_\d+)\(.*?\) \{\n(.*?)^\}\n", new, re.MULTILINE | re.DOTALL)
    assert len(pieces) > 2
    inside = "".join(body for _, body in pieces)
    assert [line for line in inside.split("\n") if line in set(steps)] == steps
    assert max(len(body) for _, body in pieces) < 1.5 * LENGTH
    whole = new[new.index("bool p_top::eval(") :]
    assert re.findall(r"(eval_\d+)\(performer, converged", whole) == [name for name, _ in pieces]
    assert "\tvalue<4> i_used;\n" in new_header
    assert in_pieces(header, short, "p_top") == (header, short)


def test_out_of_header():
    """Construction and commit get into the source; every register is committed once, in its order."""
    commits = [f"\t\tif (p_r{n}.commit(observer)) changed = true;" for n in range(LENGTH // 20)]
    header = "\n".join(
        [
            "struct p_top : public module {", "\tp_top(interior) {}", "\tp_top() {", "\t\treset();", "\t};", "",
            "\ttemplate<class ObserverT>", "\tbool commit(ObserverT &observer) {", "\t\tbool changed = false;",
            *commits, "\t\treturn changed;", "\t}", "", "\tbool commit() override {", "\t\tobserver observer;",
            "\t\treturn commit<>(observer);", "\t}", "};", "",
        ]
    )  # fmt: skip
    source = '#include "part0.h"\n\nnamespace part_p_top {\n\nvoid p_top::reset() {\n}\n\n} // namespace part_p_top\n'
    new_header, new = out_of_header(header, source, "p_top")
    assert "template" not in new_header
    assert "{}" not in new_header
    assert re.findall(r"^\tif .*$", new, re.MULTILINE) == [line[1:] for line in commits]
    pieces = re.findall(r"^void p_top::(commit_\d+)\(", new, re.MULTILINE)
    assert len(pieces) > 2
    assert re.findall(r"^\t(commit_\d+)\(observer, changed\);$", new, re.MULTILINE) == pieces
    assert new.index("namespace part_p_top {") < new.index("p_top::p_top") < new.index("void p_top::reset")
