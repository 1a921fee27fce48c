"""Configuration files: what they change, and every sentence that refuses one."""

import dataclasses

import pytest

from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.params import AXIParams, CacheParams, MemoryParams
from ohmweave.presets import PRESETS


@pytest.fixture
def load(tmp_path):
    """Load a file of the given text; refusals name it `arch.toml` whatever its folder."""

    def load(text):
        path = tmp_path / "arch.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        try:
            return load_architecture(str(path)).params
        except OhmweaveError as error:
            raise OhmweaveError(str(error).replace(str(path), "arch.toml")) from None

    return load


@pytest.mark.parametrize("name", PRESETS)
def test_preset_by_name(name):
    arch = load_architecture(name)
    assert arch.name == name
    assert arch.params is PRESETS[name]


def test_empty_file_is_the_default_preset(load):
    assert load("") == PRESETS["re-reram"]


def test_name_is_the_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "tiny"')
    assert load_architecture(str(path)).name == str(path)
    assert load_architecture(str(path)).params == PRESETS["tiny"]


def test_knobs_change_only_what_they_name(load):
    params = load('preset = "tiny"\nlevels = 2\n[array]\nread_cycles = 8\n[buffer]\nwidth = 32\n')
    base = PRESETS["tiny"]
    assert params == dataclasses.replace(
        base,
        levels=2,
        pe=dataclasses.replace(
            base.pe,
            array=dataclasses.replace(base.pe.array, read_cycles=8),
            buffer=dataclasses.replace(base.pe.buffer, width=32),
        ),
    )


@pytest.mark.parametrize(("entries", "level"), [(1, 0), (4, 1), (16, 2), (64, 3), (256, 4)])
def test_entries(load, entries, level):
    params = load(f"levels = 4\nentries = {entries}\n")
    assert (params.entries, params.entry_level) == (entries, level)


@pytest.mark.parametrize("flits", [0, 16, 64, 131072])
def test_exit_flits(load, flits):
    assert load(f"entries = 4\nexit_flits = {flits}\n").exit_flits == flits


def test_derived_values_follow(load):
    """More rows widen the window; bit planes of activations are as wide as inputs."""
    params = load('preset = "tiny"\n[array]\nrows = 80\ncolmux = 2\ndac_bits = 2\n')
    assert params.pe.buffer.window_lanes == 80
    assert params.pe.buffer.act_bits == 2


def test_adc_bits(load):
    assert load("[array]\nadc_bits = 8\n").pe.array.adc_bits == 8
    assert load('[array]\nadc_bits = "lossless"\n').pe.array.adc_bits is None


def test_memory(tmp_path):
    """Knobs of the cache, of the port and of what copies stand in one table."""
    path = tmp_path / "arch.toml"
    path.write_text("[memory]\nways = 4\ndata_bits = 128\nqueue_words = 64\n")
    memory = load_architecture(str(path)).memory
    assert memory == MemoryParams(cache=CacheParams(ways=4), axi=AXIParams(data_bits=128), queue_words=64)
    assert load_architecture("tiny").memory == MemoryParams()


NAMES = ", ".join(PRESETS)
EXIT_FLITS = "exit_flits must be 0 or a power of two from 16 to 131072"
ACCEPTED_ARRAY = (
    "rows, cols, cell_bits, colmux, dac_bits, read_cycles, write_cycles, adc_bits, adc_drop, sign_scheme"
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "colour = 1",
            "the top level has no 'colour'; it takes preset, levels, link_bits, entries, exit_flits, array, buffer, "
            "memory",
        ),
        ("[array]\nrow = 1", f"[array] has no 'row'; it takes {ACCEPTED_ARRAY}"),
        (
            "[buffer]\nact_bits = 4",
            "[buffer] has no 'act_bits'; it takes lanes, width, banks, max_kernel, max_stride",
        ),
        ("array = 3", f"array must be a table of {ACCEPTED_ARRAY}, not 3"),
        ('preset = "isac"', f"preset must be one of {NAMES}, not 'isac'"),
        ("preset = []", f"preset must be one of {NAMES}, not []"),
        ("levels = 9", "levels must be a whole number from 0 to 4, not 9"),
        ('levels = "2"', "levels must be a whole number from 0 to 4, not '2'"),
        ("levels = true", "levels must be a whole number from 0 to 4, not True"),
        ("entries = 2", "entries must be one of 1, 4, 16 on a chip of 16 PEs, not 2"),
        ("entries = 64", "entries must be one of 1, 4, 16 on a chip of 16 PEs, not 64"),
        ("entries = true", "entries must be one of 1, 4, 16 on a chip of 16 PEs, not True"),
        ("levels = 0\nentries = 4", "entries must be one of 1 on a chip of 1 PEs, not 4"),
        *(
            (f"entries = 4\nexit_flits = {text}", f"{EXIT_FLITS}, not {said}")
            for text, said in [
                ("8", 8),
                ("24", 24),
                ("262144", 262144),
                ("-16", -16),
                ("true", True),
                ("16.0", 16.0),
            ]
        ),
        ("exit_flits = 64", "exit_flits must be 0 on a chip with one entry, not 64"),
        ('preset = "re-reram-256"\nentries = 1', "exit_flits must be 0 on a chip with one entry, not 32768"),
        ("link_bits = 1.5", "link_bits must be a whole number from 1 to 64, not 1.5"),
        ("link_bits = 18", "link_bits must be one of 16, 32, 64, not 18"),
        ("link_bits = 8", "link_bits must be one of 16, 32, 64, not 8"),
        ("[array]\ndac_bits = 3", "link_bits must be a multiple of dac_bits, 3, not 16"),
        ("[array]\ncols = 272", "cols of a PE must be a whole number from 1 to 256, not 272"),
        (
            "[array]\ncols = 255\ncolmux = 3",
            "vectors for all columns must have at most 256 lanes, not 2 × 170",
        ),
        ("[array]\nrows = 0", "rows must be a whole number from 1 to 4096, not 0"),
        ("[array]\nrows = 9.5", "rows must be a whole number from 1 to 4096, not 9.5"),
        ("[array]\nrows = 1000", "rows must be at least 9 × lanes, not 1000 with 128 lanes"),
        ("[array]\ncolmux = 7", "cols must be a multiple of colmux, not 256 with colmux 7"),
        ("[array]\nadc_bits = 99", "adc_bits must be a whole number from 1 to 18, not 99"),
        (
            '[array]\nadc_bits = "all"',
            "adc_bits must be 'lossless' or a whole number of bits, not 'all'",
        ),
        ('[array]\nsign_scheme = "x"', "sign_scheme must be one of offset, pairs, not 'x'"),
        ("[buffer]\nlanes = 12", "lanes must be a multiple of 8, not 12"),
        ("[buffer]\nbanks = 99", "banks must be a whole number from 4 to 16, not 99"),
        (
            "[memory]\nsize = 1",
            "[memory] has no 'size'; it takes capacity, line_bits, ways, address_bits, port_bits, fills, read_cycles, "
            "write_cycles, data_bits, id_bits, outstanding, descriptors, ahead, queue_words",
        ),
        ("[memory]\nways = 3", "ways must be a power of two from 1 to 16, not 3"),
        ("[memory]\nport_bits = 32", "port_bits must be at least 64 for the memory of a chip, not 32"),
        ("[memory]\nahead = true", "ahead must be a whole number from 1 to 1023, not True"),
    ],
)
def test_refused_knob(load, text, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        load(text)
    assert str(refusal.value) == f"arch.toml: {sentence}"


def test_refused_name():
    with pytest.raises(OhmweaveError) as refusal:
        load_architecture("fpga")
    assert str(refusal.value) == f"--arch must be one of {NAMES} or a .toml file, not 'fpga'"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a = = 1", "configuration file arch.toml is not valid TOML: Invalid value (at line 1, column 5)"),
        (b"\xff\xfe", "configuration file arch.toml must be TOML in UTF-8"),
        (b"levels = " + b"9" * 5000, "configuration file arch.toml has a number of too many digits"),
        (b"[array]\nrows = 0x" + b"f" * 5000, "configuration file arch.toml has a number of too many digits"),
        (b"#" * (1 << 20) + b"#", "configuration file arch.toml must be at most 1048576 bytes"),
    ],
)
def test_refused_file(load, data, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        load(data)
    assert str(refusal.value) == sentence


def test_deeply_nested_file_is_refused(load):
    with pytest.raises(OhmweaveError, match=r"^configuration file arch\.toml is not valid TOML: "):
        load("a = " + "[" * 50_000)


def test_missing_file(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(OhmweaveError) as refusal:
        load_architecture(str(path))
    assert str(refusal.value) == f"configuration file {path} cannot be read: No such file or directory"


def test_folder_is_refused(tmp_path):
    path = tmp_path / "folder.toml"
    path.mkdir()
    with pytest.raises(OhmweaveError, match=r"cannot be read: Is a directory$"):
        load_architecture(str(path))


def test_nul_in_the_name_is_refused():
    with pytest.raises(OhmweaveError, match=r"cannot be read: "):
        load_architecture("a\0b.toml")
