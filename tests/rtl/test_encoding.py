"""The instruction set's definition and its encoding, against the set as the testbench has it by hand."""

import random

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.encoding import (
    MAX_INSTRUCTIONS,
    OPERATIONS,
    Instruction,
    class_of,
    decode,
    encode,
    instruction_writes,
)  # fmt: skip
from ohmweave.rtl.isa import (
    CLASS_BITS,
    CLASSES,
    WORD_BITS,
    AluOp,
    Batch,
    Class,
    ControlOp,
    Destination,
    Format,
    Half,
    NetworkOp,
    Operand,
    Place,
    ReadOp,
)  # fmt: skip
from ohmweave.testbench.isa_model import FIELDS, fields, legal, random_legal, words

WORDS = 150_000


def takes(word: int, half: Half | None) -> bool:
    try:
        decode(word, half)
    except OhmweaveError:
        return False
    return True


@pytest.mark.parametrize("info", CLASSES, ids=lambda info: info.kind.name)
def test_fields_of_the_definition(info):
    """They do not overlap, hold their values, and have legal defaults."""
    taken = (1 << CLASS_BITS) - 1
    for field in info.fields:
        assert not taken & field.mask
        taken |= field.mask
        assert field.low + field.width <= WORD_BITS
        assert all(0 <= value < 1 << field.width for value in field.legal)
        assert list(field.legal) == sorted(set(field.legal))
        assert field.required or field.name == "op" or field.default in field.legal
    assert taken | info.reserved == (1 << WORD_BITS) - 1
    assert not taken & info.reserved
    assert info.fields[0].name == "op"
    assert 0 not in info.fields[0].legal, "a word of zeros would be an instruction"
    names = {field.name for field in info.fields} | {"half"}
    assert {test.field for rule in info.rules for test in (*rule.when, *rule.need)} <= names


@pytest.mark.parametrize("half", Half, ids=lambda half: half.name.lower())
def test_decode_takes_what_is_legal(half):
    tried = words(random.Random(11), half.name.lower(), WORDS)
    expected = legal(np.array(tried, np.uint64), half.name.lower())
    assert WORDS // 4 < expected.sum() < WORDS * 3 // 4
    wrong = [
        f"{word:#010x}" for word, accepts in zip(tried, expected, strict=True) if takes(word, half) != accepts
    ]
    assert not wrong


def test_without_a_half_either_will_do():
    tried = [word for half in ("reram", "arithmetic") for word in words(random.Random(12), half, 60_000)]
    array = np.array(tried, np.uint64)
    expected = legal(array, "reram") | legal(array, "arithmetic")
    assert [takes(word, None) for word in tried] == expected.tolist()


@pytest.mark.parametrize(
    ("half", "kind"),
    [("reram", 0), ("reram", 2), ("reram", 3), ("arithmetic", 1), ("arithmetic", 2), ("arithmetic", 3)],
)
def test_round_trip(half, kind):
    for word in random_legal(random.Random(13), half, kind, 2000):
        instruction = decode(word)
        assert instruction.kind == kind
        assert {field.name: value for field, value in instruction.operands()} == fields(word, kind)
        assert all(instruction[name] == value for name, value in fields(word, kind).items())
        assert encode(instruction, Half[half.upper()]) == word


def test_every_rule_is_some_words_fault():
    """Each is what refuses some word whose fields are all in order."""
    tried = [word for half in ("reram", "arithmetic") for word in words(random.Random(14), half, 60_000)]
    for info in CLASSES:
        found = set()
        for word in tried:
            values = {field.name: field.extract(word) for field in info.fields}
            if word & 3 != info.kind or word & info.reserved:
                continue
            if all(value in field.legal for field, value in zip(info.fields, values.values(), strict=True)):
                for half in info.halves:
                    found.add(
                        next((rule for rule in info.rules if not rule.holds(values | {"half": half})), None)
                    )
        assert found == {None, *info.rules}


def test_operations_have_names_of_their_own():
    assert len(OPERATIONS) == sum(len(info.fields[0].legal) for info in CLASSES) == 18
    assert OPERATIONS["add"] == (class_of(Class.A), AluOp.ADD)


@pytest.mark.parametrize(
    ("instruction", "word"),
    [
        (Instruction.of(ReadOp.CONVOLUTION, kernel=3, blocks=63), 0x0301FB04),
        (Instruction.of(ReadOp.FULLY_CONNECTED, kernel=5, index=1, planes=1, slices=2, src=Place.BUFFER_1), 0x03320518),
        (Instruction.of(AluOp.ADD, src=Operand.RESULT, with_=Operand.K0), 0x00430B05),
        (Instruction.of(AluOp.MAX, batch=Batch.WINDOW, with_=Operand.WINDOW, size=Format.U4, des=Destination.NETWORK,
                        forward=0), 0x0005045D),
        (Instruction.of(NetworkOp.DISTRIBUTION, src=Place.TREE, des=Place.BOTH_BUFFERS, channels=4095, exit=1),
         0x153FFC86),
        (Instruction.of(ControlOp.DMA, src=Place.TREE, des=Place.COLLECTION, mode=3), 0x00001A77),
    ],
)  # fmt: skip
def test_words(instruction, word):
    """Worked out by hand."""
    assert encode(instruction) == word
    assert decode(word) == instruction
    assert isinstance(instruction.op, (ReadOp, AluOp, NetworkOp, ControlOp))


def test_whole_numbers_of_numpy_are_taken():
    plain = Instruction.of(ReadOp.CONVOLUTION, kernel=3)
    assert Instruction.of(ReadOp.CONVOLUTION, kernel=np.int64(3)) == plain
    assert isinstance(encode(Instruction.of(ReadOp.CONVOLUTION, kernel=np.int64(3))), int)
    with pytest.raises(KeyError):
        plain["channels"]


ADD = Instruction.of(AluOp.ADD)
IN = {"src": Place.MESH, "des": Place.BUFFER_0}
OUT = {"src": Place.ARITHMETIC, "des": Place.MESH}
BUFFERS = "buffer_0, buffer_1 or both_buffers"


@pytest.mark.parametrize(
    ("word", "half", "sentence"),
    [
        (0, None, "a word of zeros is no instruction"),
        (-1, None, "an instruction must be a whole number from 0 to 4294967295, not -1"),
        (1 << 32, None, "an instruction must be a whole number from 0 to 4294967295, not 4294967296"),
        (1, None, "op must be add, sub, mul, div, isqrt, relu, max or min, not 0"),
        (3 | 6 << 2, None, "op must be weight_load, fetch, data_load, dispatch or dma, not 6"),
        (1 << 29 | 2 | 1 << 2, None, "bits that the N-type does not use must be zero, not 0x20000000"),
        # The windows of either buffer have blocks of their own; a table names all blocks.
        (encode(Instruction.of(ReadOp.CONVOLUTION)) | 2 << 21, None,
         "first must be a whole number from 1 to 31 where src is both_buffers, not 0"),
        (encode(Instruction.of(ReadOp.CONVOLUTION, index=1)) | 3 << 27, None,
         "first must be 0 where index is 1, not 3"),
        (encode(ADD) | 1 << 31 | 1 << 24, None, "bits that the A-type does not use must be zero, not 0x81000000"),
        (encode(ADD) & ~(15 << 10) | 5 << 10, None,
         "src must be zero, forward, result, side, window, r0, r1, r2, r3, k0, k1, k2 or k3, not 5"),
        (encode(ADD), Half.RERAM, "the ReRAM half has no instructions of the A-type"),
        (encode(Instruction.of(ReadOp.CONVOLUTION)), Half.ARITHMETIC,
         "the arithmetic half has no instructions of the R-type"),
    ],
)  # fmt: skip
def test_decode_refuses(word, half, sentence):
    with pytest.raises(OhmweaveError) as caught:
        decode(word, half)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("instruction", "half", "sentence"),
    [
        (Instruction.of(ReadOp.CONVOLUTION, kernel=0), None, "kernel must be a whole number from 1 to 7, not 0"),
        (Instruction.of(ReadOp.CONVOLUTION, planes=3), None, "planes must be a whole number from 0 to 2, not 3"),
        (Instruction.of(ReadOp.CONVOLUTION, slices=3), None, "slices must be a whole number from 0 to 2, not 3"),
        (Instruction.of(ReadOp.CONVOLUTION, blocks=64), None, "blocks must be a whole number from 0 to 63, not 64"),
        (Instruction.of(ReadOp.CONVOLUTION, blocks=-1), None, "blocks must be a whole number from 0 to 63, not -1"),
        (Instruction.of(ReadOp.CONVOLUTION, index=2), None, "index must be 0 or 1, not 2"),
        (Instruction.of(ReadOp.CONVOLUTION, src=Place.TREE), None, f"src must be {BUFFERS}, not tree"),
        (Instruction.of(ReadOp.CONVOLUTION, des=Place.MESH), None, "des must be arithmetic, not mesh"),
        (Instruction.of(ReadOp.FULLY_CONNECTED, fusion=1), None,
         "fusion must be 0 where op is fully_connected, not 1"),
        (Instruction.of(AluOp.ISQRT, with_=Operand.K1), None, "with must be zero where op is isqrt, not k1"),
        (Instruction.of(AluOp.RELU, with_=Operand.R0), None, "with must be zero where op is relu, not r0"),
        (Instruction.of(AluOp.MAX, batch=Batch.WINDOW), None,
         "src or with must be window where batch is window, not forward and zero"),
        (Instruction.of(AluOp.ADD, batch=Batch.FRAME, src=Operand.K0), None,
         "src or with must be r0, r1, r2 or r3 where batch is frame, not k0 and zero"),
        (Instruction.of(AluOp.ADD, src=Operand.K0, with_=Operand.K3), None,
         "with must be zero, forward, result, side, window, r0, r1, r2, r3 or k0 where src is k0, not k3"),
        (Instruction.of(NetworkOp.LOCAL, **IN), Half.ARITHMETIC,
         "src must be arithmetic in the arithmetic half, not mesh"),
        (Instruction.of(NetworkOp.LOCAL, **OUT), Half.RERAM,
         "src must be tree or mesh in the ReRAM half, not arithmetic"),
        (Instruction.of(NetworkOp.DISTRIBUTION, **IN), None, "src must be tree where op is distribution, not mesh"),
        (Instruction.of(NetworkOp.COLLECTION, **IN), None, "src must be arithmetic where op is collection, not mesh"),
        (Instruction.of(NetworkOp.COLLECTION, **OUT), None, "des must be collection where op is collection, not mesh"),
        (Instruction.of(NetworkOp.LOCAL, **IN | {"src": Place.TREE}), None,
         "src must be mesh or arithmetic where op is local, not tree"),
        (Instruction.of(NetworkOp.LOCAL, **IN | {"des": Place.MESH}), None,
         "des must be buffer_0, buffer_1, both_buffers or arithmetic where src is mesh, not mesh"),
        (Instruction.of(NetworkOp.LOCAL, **OUT | {"des": Place.COLLECTION}), None,
         f"des must be {BUFFERS.replace(' or', ',')} or mesh where op is local and src is arithmetic, not collection"),
        (Instruction.of(NetworkOp.LOCAL, **IN, fuse=1), None,
         "des must be arithmetic, mesh or collection where fuse is 1, not buffer_0"),
        (Instruction.of(ControlOp.DMA, src=7, des=Place.TREE), None,
         "src must be buffer_0, buffer_1, both_buffers, arithmetic, tree, mesh or collection, not 7"),
    ],
)  # fmt: skip
def test_encode_refuses(instruction, half, sentence):
    with pytest.raises(OhmweaveError) as caught:
        encode(instruction, half)
    assert str(caught.value) == sentence


def test_operands_that_are_none():
    with pytest.raises(
        OhmweaveError, match=r"^the A-type has no operand kernel; it has batch, size, src, with, "
    ):
        Instruction.of(AluOp.ADD, kernel=3)
    with pytest.raises(OhmweaveError, match=r"^src must be given: arithmetic, tree or mesh$"):
        Instruction.of(NetworkOp.LOCAL, des=Place.MESH)


def test_instruction_writes():
    assert instruction_writes(0, 0x12345678) == [(0, 0x5678), (1, 0x1234)]
    assert instruction_writes(63, 0xFFFF0000) == [(126, 0), (127, 0xFFFF)]
    for place in (-1, 64, True):
        with pytest.raises(
            OhmweaveError, match=r"^the place of an instruction must be a whole number from 0 to 63, "
        ):
            instruction_writes(place, 4)
    with pytest.raises(
        OhmweaveError, match=r"^an instruction must be a whole number from 0 to 4294967295, not -1$"
    ):
        instruction_writes(0, -1)


def test_hand_written_model_names_every_field():
    """Nothing of the definition is missing in it: a field that both forgot would go untested."""
    for info in CLASSES:
        assert FIELDS[info.kind] == [(field.name, field.width) for field in info.fields]


def test_largest_table_is_that_of_the_parameters():
    from dataclasses import replace

    from ohmweave.presets import PRESETS

    pe: PEParams = PRESETS["tiny"].pe
    for name in ("reram_program", "arithmetic_program"):
        replace(pe, **{name: MAX_INSTRUCTIONS})
        with pytest.raises(OhmweaveError):
            replace(pe, **{name: MAX_INSTRUCTIONS + 1})
