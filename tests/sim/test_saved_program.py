"""Programs as files: what comes back, what is refused by which sentence, and that no damage goes unnoticed."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exit_programs import chain, sections
from mapping_graphs import spanning, striding

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams, PEParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.sim import saved_program
from ohmweave.sim.graph import Graph
from ohmweave.sim.identity import graph_key
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.npz import npz_bytes, read_npz
from ohmweave.sim.program import Program, packets
from ohmweave.sim.run import compiled, planned
from ohmweave.sim.saved_program import SavedProgram, first_difference, from_bytes, to_bytes

CHIP = replace(PRESETS["tiny"], levels=2, entries=4, exit_flits=64)
START = 48
NAME = "the program file"


def shortcut(more: int = 0) -> Graph:
    """A shortcut past one convolution: a network that is placed and routed. Its first biases are so much more."""
    graph = spanning(1, 5)
    first = replace(graph.nodes[0], bias=graph.nodes[0].bias + more)
    return replace(graph, nodes=(first, *graph.nodes[1:]))


def program_of(graph: Graph, params: GroupParams = CHIP, copies: int = 1) -> Program:
    return compiled(planned(graph, params, copies=copies), params)


@pytest.fixture(scope="module")
def content() -> bytes:
    return to_bytes(program_of(shortcut()), shortcut())


def sealed(body: bytes, head: bytes | None = None) -> bytes:
    """A file with the right checksum."""
    head = head or saved_program.HEAD.pack(b"OHMP", 1, 0, len(body))
    return head + hashlib.sha256(head + body).digest() + body


def changed(content: bytes, change: Callable[[dict, dict], Any]) -> bytes:
    """The file with another header or other arrays, and the right checksum."""
    arrays = read_npz(io.BytesIO(content[START:]), what="it", max_bytes=1 << 30)
    header = json.loads(arrays.pop("header").tobytes())
    new = change(header, arrays)
    told = np.frombuffer(json.dumps(header if new is None else new).encode(), np.uint8)
    return sealed(npz_bytes({"header": told, **arrays}))


def refusal(content: bytes) -> str:
    with pytest.raises(OhmweaveError) as error:
        from_bytes(content)
    return str(error.value)


def same(one: Program, other: Program) -> None:
    for field in fields(Program):
        if field.name not in ("levels", "config"):
            assert getattr(one, field.name) == getattr(other, field.name)
    assert one.config.dtype == other.config.dtype
    assert np.array_equal(one.config, other.config)
    assert one.levels.keys() == other.levels.keys()
    assert all(np.array_equal(one.levels[unit], other.levels[unit]) for unit in one.levels)


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("graph", [shortcut(), chain(2)], ids=["mapped", "chain"])
def test_comes_back(graph, copies):
    program = program_of(graph, copies=copies)
    written = to_bytes(program, graph)
    saved = from_bytes(written)
    same(saved.program, program)
    assert to_bytes(saved.program, graph) == written == to_bytes(program_of(graph, copies=copies), graph)
    saved.check_network(graph, "net")
    saved.check_chip(CHIP, "tiny")


def test_sections_come_back():
    graph = chain(3)
    program = sections(graph, [2, 1], [2, 1], CHIP)
    same(from_bytes(to_bytes(program, graph)).program, program)


BLOCKS = {"side": 2, "border": [2, 2, 2, 2], "fill": [0]}


def test_images_in_blocks_come_back():
    graph = striding(6)
    program = mapped(graph, CHIP).program()
    assert program.inbound.blocks is not None
    saved = from_bytes(to_bytes(program, graph))
    same(saved.program, program)
    saved.check_network(graph, "net")


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ([], "its inbound's blocks must have exactly side, border, fill"),
        (BLOCKS | {"side": 1}, "side of inbound's blocks must be a whole number from 2 to 16, not 1"),
        (BLOCKS | {"side": 17}, "side of inbound's blocks must be a whole number from 2 to 16, not 17"),
        (BLOCKS | {"border": [2, 2, 2]}, "its inbound's border must be 4 numbers"),
        (BLOCKS | {"border": [2, 2, 2, 2, 2]}, "its inbound's border must be a list of at most 4"),
        (
            BLOCKS | {"border": [2, 2, 2, -1]},
            "inbound's border must be a whole number from 0 to 1048576, not -1",
        ),
        (BLOCKS | {"fill": [65536]}, "inbound's fill must be a whole number from 0 to 65535, not 65536"),
        (BLOCKS | {"fill": "0"}, "its inbound's fill must be a list of at most 131072"),
    ],
)
def test_forged_blocks(blocks, sentence):
    graph = striding(6)
    content = to_bytes(mapped(graph, CHIP).program(), graph)
    assert refusal(changed(content, put("blocks", blocks, "inbound"))) == f"{NAME} is not valid: {sentence}"


@pytest.mark.parametrize("other", [None, BLOCKS | {"fill": [0, 0]}, BLOCKS | {"border": [2, 2, 2, 3]}])
def test_blocks_of_other_images(other):
    graph = striding(6)
    saved = from_bytes(
        changed(to_bytes(mapped(graph, CHIP).program(), graph), put("blocks", other, "inbound"))
    )
    with pytest.raises(OhmweaveError) as error:
        saved.check_network(graph, "net")
    assert str(error.value) == f"{NAME} is not valid: its inbound does not fit the images of net"


def test_copies_share_their_cells():
    graph = shortcut()
    program = program_of(graph, copies=2)
    assert len(program.levels) == 8
    arrays = read_npz(io.BytesIO(to_bytes(program, graph)[START:]), what="it", max_bytes=1 << 30)
    assert sum(name.startswith("levels.") for name in arrays) == 4


def test_damage_is_found(content):
    """Every byte with a bit flipped, every place at which a file can end, and bytes behind it."""
    sentences = {
        f"{NAME} must be a file that `ohmweave compile` wrote, and is none",
        f"{NAME} is damaged: it ends within its header",
        f"{NAME} is damaged: its size is not what its header says",
        f"{NAME} is damaged: its checksum is wrong",
    }
    print("seed 7")
    rng = random.Random(7)
    for place in [*range(START + 8), *(rng.randrange(len(content)) for _ in range(500))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        text = refusal(bytes(damaged))
        assert text in sentences or text.startswith(f"{NAME} must be of version 1, not ")
    for end in [*range(START + 8), *(rng.randrange(len(content)) for _ in range(500))]:
        assert refusal(content[:end]) in sentences
    assert refusal(content + b"\0") == f"{NAME} is damaged: its size is not what its header says"
    assert refusal(content + content) == f"{NAME} is damaged: its size is not what its header says"


def test_heads(content):
    body = content[START:]
    assert refusal(b"") == f"{NAME} must be a file that `ohmweave compile` wrote, and is none"
    assert (
        refusal(b"OHMI" + content[4:]) == f"{NAME} must be a file that `ohmweave compile` wrote, and is none"
    )
    assert refusal(content[:47]) == f"{NAME} is damaged: it ends within its header"
    pack = saved_program.HEAD.pack
    assert refusal(sealed(body, pack(b"OHMP", 2, 0, len(body)))) == f"{NAME} must be of version 1, not 2"
    for head in (
        pack(b"OHMP", 1, 1, len(body)),
        pack(b"OHMP", 1, 0, len(body) + 1),
        pack(b"OHMP", 1, 0, 1 << 63),
    ):
        assert refusal(sealed(body, head)) == f"{NAME} is damaged: its size is not what its header says"
    assert refusal(sealed(b"zip")) == f"{NAME} must be an .npz of plain arrays, and is not or is damaged"


def put(key: str, value: object, *within: str) -> Callable[[dict, dict], None]:
    def change(header: dict, _arrays: dict) -> None:
        for name in within:
            header = header[name]
        header[key] = value

    return change


def array(name: str, value: np.ndarray | None) -> Callable[[dict, dict], None]:
    def change(_header: dict, arrays: dict) -> None:
        arrays.pop(name, None)
        if value is not None:
            arrays[name] = value

    return change


EXACTLY = f"its header must have exactly {', '.join(saved_program.HEADER)}"
FLITS = "its config must be at most 67108864 flits of uint32"
SHAPE = "its levels must be arrays of 72 × 16 uint8"
WHOSE = "its arrays must be those of its header, each unit once"
MAP = "its outbound must be a map of numbers of 4, 8, … 64 bits"
NAMES = {kind: ", ".join(field.name for field in fields(kind)) for kind in (GroupParams, PEParams)}
STAGE = {"name": "first", "units": [0]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda *_: [], EXACTLY),
        (lambda header, _: header.pop("copies") and None, EXACTLY),
        (put("more", 1), EXACTLY),
        (array("header", None), None),
        (put("chip", 5), f"its chip must have exactly {NAMES[GroupParams]}"),
        (put("pe", [], "chip"), f"its chip's PE must have exactly {NAMES[PEParams]}"),
        (put("rows", 7.5, "chip", "pe", "array"), "its chip's array must have whole numbers, not 7.5"),
        (put("rows", "x", "chip", "pe", "array"), "rows must be a whole number from 1 to 4096, not 'x'"),
        (put("sign_scheme", [], "chip", "pe", "array"), "sign_scheme must be one of offset, pairs, not []"),
        (put("levels", 5, "chip"), "levels must be a whole number from 0 to 4, not 5"),
        (put("window_lanes", "x", "chip", "pe", "buffer"), "window_lanes must be a whole number from 1 to 1048576, "
         "not 'x'"),
        (put("network", 5), "its network must be a word"),
        (put("copies", 17), "copies must be a whole number from 1 to 16, not 17"),
        (put("copies", True), "copies must be a whole number from 1 to 16, not True"),
        (put("entry_copies", [1]), "its entry_copies must be 4, 1 in all"),
        (put("entry_copies", [1, 1, 0, 0]), "its entry_copies must be 4, 1 in all"),
        (put("entry_copies", [0] * 5), "its entry_copies must be a list of at most 4"),
        (put("entry_copies", [-1, 2, 0, 0]), "entry_copies must be a whole number from 0 to 16, not -1"),
        (put("arrays", [[16, 0]]), "unit of an array must be a whole number from 0 to 15, not 16"),
        (put("arrays", [[0]]), "unit of an array must be a whole number from 0 to 15, not -1"),
        (put("arrays", [[0, -1]]), "number of an array must be a whole number from 0 to 15, not -1"),
        (put("arrays", [[0, 9]]), SHAPE),
        (put("arrays", []), WHOSE),
        (array("levels.99", np.zeros((72, 16), np.uint8)), WHOSE),
        (array("levels.0", np.zeros((72, 15), np.uint8)), SHAPE),
        (array("levels.0", np.zeros((72, 16), np.int8)), SHAPE),
        (array("levels.0", np.full((72, 16), 16, np.uint8)), "its levels must be at most 15"),
        (array("config", None), FLITS),
        (array("config", np.zeros((1, 2), np.uint32)), FLITS),
        (array("config", np.zeros(2, np.int64)), FLITS),
        (array("config", np.zeros(2, np.uint32)), "its config must be flits of 16 bits below the bit that marks them"),
        (put("channels", -1, "inbound"), "channels of inbound must be a whole number from 0 to 1048576, not -1"),
        (put("bits", 3, "outbound"), "bits of outbound must be a whole number from 4 to 64, not 3"),
        (put("bits", 6, "outbound"), MAP),
        (put("shape", [4, 5], "outbound"), MAP),
        (put("shape", [4, 5, 0], "outbound"), "outbound's shape must be a whole number from 1 to 1048576, not 0"),
        (put("signed", 1, "outbound"), MAP),
        (put("turn", 4, "outbound"), "turn of outbound must be a whole number from 0 to 0, not 4"),
        (put("stages", [5]), "its stages must have exactly name, units"),
        (put("stages", [STAGE | {"name": "a\n"}]), "its stages must have names of at most 256 characters"),
        (put("stages", [STAGE | {"units": []}]), "its stage first must have a PE"),
        (put("stages", [STAGE | {"units": [16]}]), "unit of first must be a whole number from 0 to 15, not 16"),
    ],
)  # fmt: skip
def test_what_is_inside(content, change, sentence):
    """Files with the right checksum that this program would not write."""
    if sentence is None:  # no header at all
        assert (
            refusal(sealed(npz_bytes({"config": np.zeros(1, np.uint32)})))
            == f"{NAME} is not valid: {EXACTLY}"
        )
    else:
        assert refusal(changed(content, change)) == f"{NAME} is not valid: {sentence}"


def test_another_compiler(content):
    from ohmweave import __version__

    assert refusal(changed(content, put("compiler", "0.0.0"))) == (
        f"{NAME} was compiled by ohmweave 0.0.0, and this is {__version__}: it has to be compiled anew"
    )


def test_a_nested_header(content):
    deep = np.frombuffer(b"[" * 100_000, np.uint8)
    assert refusal(sealed(npz_bytes({"header": deep}))) == f"{NAME} is not valid: {EXACTLY}"


def test_changed_routes(content):
    """A file with the right checksum in which a switch is closed: found before anything runs."""
    unit = program_of(shortcut()).stages[1].units[0]
    shut = changed(content, lambda _, arrays: _routed(arrays, unit, 0))
    assert refusal(shut).startswith(f"{NAME} is not sound: ")
    none = changed(content, lambda _, arrays: _routed(arrays, unit, 0xFFFF))
    assert refusal(none) == f"{NAME} is not sound: the switch of PE {unit} has no input 7"
    # The same words first: what is written later counts.
    first = np.array(packets(unit, [(Region.ROUTES.address(local), 0) for local in range(2)]), np.uint32)
    from_bytes(
        changed(content, lambda _, arrays: arrays.update(config=np.concatenate([first, arrays["config"]])))
    )


def _routed(arrays: dict, unit: int, word: int) -> None:
    """Put another word in place of all that are written to a PE's switch."""
    config = arrays["config"].copy()
    address = 1 << 16 | Region.ROUTES.address(0)
    at = next(
        place
        for place in range(len(config) - 2)
        if config[place] == 1 << 16 | unit and config[place + 1] == address
    )
    count = int(config[at + 2]) & 0xFFFF
    config[at + 3 : at + 3 + count] = 1 << 16 | word
    arrays["config"] = config


def test_no_configuration_is_a_traceback(content):
    """Configurations that are changed at random, with the right checksum, are refused or pass as they are."""
    print("seed 11")
    rng = random.Random(11)
    came = {"refused": 0, "sound": 0}
    for _ in range(150):

        def change(_header: dict, arrays: dict) -> None:
            config = arrays["config"].copy()
            for _ in range(rng.choice((1, 1, 2, 8))):
                place = rng.randrange(len(config))
                config[place] = 1 << 16 | (int(config[place]) ^ 1 << rng.randrange(16)) & 0xFFFF
                if rng.random() < 0.1:
                    config = config[:place] if place else config
            arrays["config"] = config

        try:
            from_bytes(changed(content, change))
            came["sound"] += 1
        except OhmweaveError:
            came["refused"] += 1
    assert min(came.values()) > 10


def test_another_network(content):
    saved = from_bytes(content)
    saved.check_network(shortcut(), "mine.npz")
    with pytest.raises(OhmweaveError) as error:
        saved.check_network(shortcut(1), "mine.npz")
    assert str(error.value) == (
        f"{NAME} is of another network than mine.npz, whose integers are not the same: a float network has to "
        "be quantised with the same options"
    )


def test_forged_shapes(content):
    """Files that say that they are the network's, and are not."""
    for key, where, sentence in (
        ("channels", "inbound", "its inbound does not fit the images of net"),
        ("shape", "outbound", "its outbound does not fit the output of net"),
    ):
        saved = from_bytes(changed(content, put(key, [4, 5, 5] if key == "shape" else 3, where)))
        with pytest.raises(OhmweaveError) as error:
            saved.check_network(shortcut(), "net")
        assert str(error.value) == f"{NAME} is not valid: {sentence}"


def test_the_key_of_a_network():
    graph = shortcut()
    assert graph_key(graph) == graph_key(replace(graph, name="other")) == graph_key(shortcut())
    keys = {graph_key(graph)}
    first = graph.nodes[0]
    weights = first.weights.copy()
    weights[0, 0, 0, 0] ^= 1
    others = (
        replace(first, weights=weights),
        replace(first, bias=first.bias + 1),
        replace(first, shift=first.shift + 1),
    )
    for node in others:
        keys.add(graph_key(replace(graph, nodes=(node, *graph.nodes[1:]))))
    keys.add(graph_key(replace(graph, input=replace(graph.input, zero_point=1))))
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(CHIP, levels=3), ("levels", 2, 3)),
        (replace(CHIP, levels=3, entries=1, exit_flits=0), ("levels", 2, 3)),
        (replace(CHIP, exit_flits=128), ("exit_flits", 64, 128)),
        (replace(CHIP, pe=replace(CHIP.pe, link_bits=32)), ("link_bits", 16, 32)),
        (replace(CHIP, pe=replace(CHIP.pe, array=replace(CHIP.pe.array, adc_bits=8))),
         ("array adc_bits", "lossless", 8)),
        (replace(CHIP, pe=replace(CHIP.pe, buffer=replace(CHIP.pe.buffer, width=17))), ("buffer width", 16, 17)),
        (CHIP, None),
    ],
)  # fmt: skip
def test_another_chip(content, other, what):
    assert first_difference(CHIP, other) == what
    saved: SavedProgram = from_bytes(content)
    if what is None:
        saved.check_chip(other, "mine.toml")
        return
    with pytest.raises(OhmweaveError) as error:
        saved.check_chip(other, "mine.toml")
    name, of_file, of_chip = what
    assert (
        str(error.value) == f"{NAME} is for a chip with {name} {of_file}, and mine.toml has {name} {of_chip}"
    )


def test_files(tmp_path, content):
    path = tmp_path / "a.ohmp"
    assert saved_program.save(path, program_of(shortcut()), shortcut()) == len(content)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["a.ohmp"]
    assert saved_program.load(path).name == f"the program file {path}"
    with pytest.raises(OhmweaveError) as error:
        saved_program.load(Path(tmp_path / "b.ohmp"))
    assert (
        str(error.value)
        == f"the program file {tmp_path / 'b.ohmp'} cannot be read: No such file or directory"
    )
