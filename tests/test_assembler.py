"""Assembler, disassembler and the file between them: round trips, refusals and the two commands."""

import random
import runpy
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmweave import cli
from ohmweave.assembler import assemble, disassemble
from ohmweave.errors import OhmweaveError
from ohmweave.program_file import MAX_BYTES, InstructionTables, from_bytes, to_bytes
from ohmweave.rtl.encoding import MAX_INSTRUCTIONS, OPERATIONS, Instruction, decode, encode
from ohmweave.rtl.isa import CLASSES, AluOp, Batch, Half, NetworkOp, Operand, Place, ReadOp
from ohmweave.testbench.isa_model import random_legal

SOURCE = """; the first layer
.reram
distribution src=TREE des=buffer_0 kernel=0b101 channels=0   # pixels
    Convolution index=1 kernel=5 blocks=0x3f

.arithmetic ; results
local src=arithmetic des=mesh channels=1023
add src=result with=k0
max batch=window with=window
"""
TABLES = InstructionTables(
    (
        encode(Instruction.of(NetworkOp.DISTRIBUTION, src=Place.TREE, des=Place.BUFFER_0, kernel=5)),
        encode(Instruction.of(ReadOp.CONVOLUTION, index=1, kernel=5, blocks=63)),
    ),
    (
        encode(Instruction.of(NetworkOp.LOCAL, src=Place.ARITHMETIC, des=Place.MESH, channels=1023)),
        encode(Instruction.of(AluOp.ADD, src=Operand.RESULT, with_=Operand.K0)),
        encode(Instruction.of(AluOp.MAX, batch=Batch.WINDOW, with_=Operand.WINDOW)),
    ),
)
LISTING = """\
.reram
distribution kernel=5 src=tree des=buffer_0  ;  0  0x01000286
convolution index=1 kernel=5 blocks=63       ;  1  0x0301fd14
.arithmetic
local channels=1023 src=arithmetic des=mesh  ;  0  0x0acffc8a
add src=result with=k0                       ;  1  0x00430b05
max batch=window with=window                 ;  2  0x0041075d
"""


def tables_of(half: Half, words: list[int]) -> InstructionTables:
    return InstructionTables(**{half.name.lower(): tuple(words)})


@st.composite
def instructions(draw):
    """A half and any legal word of it."""
    half = draw(st.sampled_from(list(Half)))
    info = draw(st.sampled_from([info for info in CLASSES if half in info.halves]))

    def is_legal(values):
        names = [field.name for field in info.fields]
        given_values = dict(zip(names, values, strict=True)) | {"half": half}
        return all(rule.holds(given_values) for rule in info.rules)

    values = st.tuples(*(st.sampled_from(field.legal) for field in info.fields)).filter(is_legal)
    return half, encode(Instruction(info.kind, draw(values)), half)


def test_assemble():
    assert assemble(SOURCE) == TABLES


def test_disassemble():
    assert disassemble(TABLES) == LISTING
    assert assemble(LISTING) == TABLES


@settings(deadline=None, derandomize=True)
@given(instructions())
def test_any_instruction_comes_back(given_instruction):
    half, word = given_instruction
    tables = tables_of(half, [word])
    assert assemble(disassemble(tables)) == tables
    assert assemble(disassemble(tables).upper()) == tables
    assert from_bytes(to_bytes(tables)) == tables


@pytest.mark.parametrize(
    ("half", "kind"),
    [(half, info.kind) for info in CLASSES for half in info.halves],
    ids=lambda value: value.name,
)
def test_every_value_of_every_field_comes_back(half, kind):
    """Each legal value of a field in words where it is legal, tables full."""
    rng = random.Random(21)
    words = random_legal(rng, half.name.lower(), kind, 1000)
    for base in words[:6]:
        for field in decode(base).info.fields:
            for value in field.legal:
                word = base & ~field.mask | value << field.low
                try:
                    decode(word, half)
                except OhmweaveError:
                    continue
                words.append(word)
    for start in range(0, len(words), MAX_INSTRUCTIONS):
        tables = tables_of(half, words[start : start + MAX_INSTRUCTIONS])
        assert assemble(disassemble(tables)) == tables


def test_line_ends_and_order_make_no_difference():
    assert assemble(SOURCE.replace("\n", "\r\n")) == TABLES
    reram, arithmetic = LISTING.split(".arithmetic")
    assert assemble(f".arithmetic{arithmetic}{reram}") == TABLES


OPERATION_LIST = ", ".join(OPERATIONS)
NOT_OF_ADD = (
    "the program, line 2: an operand of add must be one of batch, size, src, with, des, forward, when, not"
)
NOT_A_DES = "the program, line 2: des must be one of none, network, buffer, r0, r1, r2, r3, not"
TOO_MANY = "the program, line 66: the table .arithmetic must have at most 64 instructions"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the program must have at least one instruction"),
        ("; nothing\n.reram\n", "the program must have at least one instruction"),
        ("add", "the program, line 1: instructions must stand below .reram or .arithmetic"),
        ("\n.text", "the program, line 2: a section must be .reram or .arithmetic, not '.text'"),
        (".reram add", "the program, line 1: .reram must stand alone in its line, without 'add'"),
        (".reram\n.arithmetic\n.reram", "the program, line 3: .reram was begun in line 1: a table is one section"),
        (".arithmetic\nadd\nfly", f"the program, line 3: the operation must be one of {OPERATION_LIST}, not 'fly'"),
        (".arithmetic\nadd src", "the program, line 2: an operand must be name=value, without blanks, not 'src'"),
        (".arithmetic\nadd src= r0", "the program, line 2: an operand must be name=value, without blanks, not 'src='"),
        (".arithmetic\nadd =r0", "the program, line 2: an operand must be name=value, without blanks, not '=r0'"),
        (".arithmetic\nadd kernel=1", f"{NOT_OF_ADD} 'kernel'"),
        (".arithmetic\nadd op=2", f"{NOT_OF_ADD} 'op'"),
        (".arithmetic\nadd src=r0 src=r0", "the program, line 2: src must be given once"),
        (".arithmetic\nadd des=k0", f"{NOT_A_DES} 'k0'"),
        (".arithmetic\nadd des=1", f"{NOT_A_DES} '1'"),
        (".reram\nconvolution kernel=x", "the program, line 2: kernel must be a whole number, not 'x'"),
        (".reram\nconvolution kernel=-1", "the program, line 2: kernel must be a whole number, not '-1'"),
        (".reram\nconvolution kernel=٣", "the program, line 2: kernel must be a whole number, not '٣'"),
        (".reram\nconvolution kernel=8", "the program, line 2: kernel must be a whole number from 1 to 7, not 8"),
        (".reram\nconvolution blocks=0x40", "the program, line 2: blocks must be a whole number from 0 to 63, not 64"),
        (".reram\nadd", "the program, line 2: the ReRAM half has no instructions of the A-type"),
        (".reram\nlocal des=buffer_0", "the program, line 2: src must be given: arithmetic, tree or mesh"),
        (".arithmetic\nrelu with=r0", "the program, line 2: with must be zero where op is relu, not r0"),
        (".arithmetic\nadd\nadd src=k2 with=k0",
         "the program, line 3: with must be zero, forward, result, side, window, r0, r1, r2, r3 or k2 where src is k2, "
         "not k0"),
        (".arithmetic\n" + 65 * "add\n", TOO_MANY),
    ],
)  # fmt: skip
def test_refused_text(text, sentence):
    with pytest.raises(OhmweaveError) as caught:
        assemble(text)
    assert str(caught.value) == sentence


def test_digits_beyond_any_number_are_refused_at_once():
    with pytest.raises(OhmweaveError, match=r"line 2: kernel must be a whole number, not '9999"):
        assemble(f".reram\nconvolution kernel={'9' * 100_000}")


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet=st.sampled_from(" \n;#.=0123456789xradseconvlutikmh_\0é"), max_size=80) | st.text())
def test_any_text_is_tables_or_a_sentence(text):
    try:
        tables = assemble(text)
    except OhmweaveError:
        return
    assert assemble(disassemble(tables)) == tables


def test_file_layout():
    content = to_bytes(TABLES)
    words = struct.pack("<5I", *TABLES.reram, *TABLES.arithmetic)
    header = b"OHMI" + struct.pack("<HHHH", 1, 2, 3, 0)
    assert content == header + struct.pack("<I", zlib.crc32(header + words)) + words


def test_every_damage_is_seen():
    content = to_bytes(TABLES)
    for size in range(len(content)):
        with pytest.raises(OhmweaveError):
            from_bytes(content[:size])
    with pytest.raises(OhmweaveError):
        from_bytes(content + b"\0")
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(OhmweaveError):
            from_bytes(bytes(damaged))


def sealed(version=1, reram=(), arithmetic=(), zero=0):
    """A file whose checksum is right, whatever else it says."""
    header = b"OHMI" + struct.pack("<HHHH", version, len(reram), len(arithmetic), zero)
    words = struct.pack(f"<{len(reram) + len(arithmetic)}I", *reram, *arithmetic)
    return header + struct.pack("<I", zlib.crc32(header + words)) + words


ADD = encode(Instruction.of(AluOp.ADD))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "p must be a file that `ohmweave asm` wrote, and is none"),
        (b"\x7fELF", "p must be a file that `ohmweave asm` wrote, and is none"),
        (b"OHMI\1\0", "p is damaged: it ends within its header"),
        (sealed(version=2), "p must be of version 1, not 2"),
        (sealed(arithmetic=[ADD])[:-1], "p is damaged: its size is not what its header says"),
        (sealed(arithmetic=[ADD], zero=1), "p is damaged: its size is not what its header says"),
        (sealed(arithmetic=[ADD] * 65), "p is damaged: its size is not what its header says"),
        (sealed(arithmetic=[ADD])[:-1] + b"\1", "p is damaged: its checksum is wrong"),
        (sealed(), "p must have at least one instruction"),
        (sealed(arithmetic=[ADD, 0]), "p, instruction 1 of .arithmetic: a word of zeros is no instruction"),
        (sealed(reram=[ADD]), "p, instruction 0 of .reram: the ReRAM half has no instructions of the A-type"),
    ],
)
def test_refused_file(content, sentence):
    with pytest.raises(OhmweaveError) as caught:
        from_bytes(content, "p")
    assert str(caught.value) == sentence


def test_tables_that_are_no_file():
    with pytest.raises(
        OhmweaveError, match=r"^the program must have at most 64 instructions a half, not 65$"
    ):
        to_bytes(InstructionTables((), (ADD,) * 65))
    with pytest.raises(
        OhmweaveError, match=r"^the program, instruction 0 of .reram: a word of zeros is no instru"
    ):
        to_bytes(InstructionTables((0,)))


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run the program in this process, in an empty folder: exit code, stdout, stderr without its prefix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err.removeprefix("ohmweave: ").removesuffix("\n")

    return call


def test_commands(call, tmp_path):
    (tmp_path / "a.s").write_text("\ufeff" + SOURCE, "utf-8")
    wrote = "wrote a.ohmi: instructions 2 in .reram, 3 in .arithmetic\n"
    assert call("asm", "a.s", "--out", "a.ohmi") == (0, wrote, "")
    assert (tmp_path / "a.ohmi").read_bytes() == to_bytes(TABLES)
    assert call("disasm", "a.ohmi") == (0, LISTING, "")


def test_tables_have_to_fit_the_accelerator(call, tmp_path):
    (tmp_path / "a.toml").write_text('preset = "tiny"\n')
    (tmp_path / "a.s").write_text(".reram\n" + "convolution\n" * 17)
    code, out, err = call("asm", "a.s", "--arch", "a.toml", "--out", "a.ohmi")
    assert (code, out, err) == (2, "", "a.s, line 18: the table .reram must have at most 16 instructions")
    assert not (tmp_path / "a.ohmi").exists()


def test_refused_input_leaves_the_old_file(call, tmp_path):
    (tmp_path / "a.s").write_text(".reram\nconvolution\nadd\n")
    (tmp_path / "a.ohmi").write_text("old")
    code, _, err = call("asm", "a.s", "--out", "a.ohmi")
    assert (code, err) == (2, "a.s, line 3: the ReRAM half has no instructions of the A-type")
    assert (tmp_path / "a.ohmi").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ohmi", "a.s"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("asm", "no.s", "--out", "x"), "the source file no.s cannot be read: No such file or directory"),
        (("asm", ".", "--out", "x"), "the source file . cannot be read: Is a directory"),
        (("asm", "bytes", "--out", "x"), "the source file bytes must be text in UTF-8, and byte 7 is none"),
        (("asm", "large", "--out", "x"), "the source file large must be at most 1048576 bytes"),
        (("asm", "good", "--out", "no/x"), "no/x cannot be written: No such file or directory"),
        (("asm", "good"), "Missing option '--out' (see ohmweave asm --help)"),
        (("asm", "good", "--arch", "z80", "--out", "x"),
         "--arch must be one of re-reram, re-reram-256, tiny, tiny-fpga or a .toml file, not 'z80'"),
        (("disasm", "no.ohmi"), "the program file no.ohmi cannot be read: No such file or directory"),
        (("disasm", "good"), "the program file good must be a file that `ohmweave asm` wrote, and is none"),
        (("disasm", "large"), f"the program file large must be at most {MAX_BYTES} bytes"),
        (("disasm",), "Missing argument 'FILE' (see ohmweave disasm --help)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_refused_commands(call, tmp_path, arguments, sentence):
    (tmp_path / "good").write_text(SOURCE)
    (tmp_path / "bytes").write_bytes(b".reram\n\xff")
    (tmp_path / "large").write_text(";" * ((1 << 20) + 1))
    assert call(*arguments) == (2, "", sentence)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes", "good", "large"]


ROOT = Path(__file__).resolve().parent.parent


def test_page_is_what_the_definition_gives():
    page = runpy.run_path(str(ROOT / "scripts" / "write_isa_page.py"))["page"]
    assert (ROOT / "docs" / "isa.md").read_text() == page()
