"""What the numbers are: whole streams of flits, pixels, windows and vectors at once, in their order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams, PEParams
from ohmweave.rtl.arithmetic.layouts import MAX_WINDOW_PIXELS
from ohmweave.rtl.arithmetic.window_select import word_vectors
from ohmweave.rtl.conv_buffer.geometry import UNITS
from ohmweave.rtl.elements import FORMAT_BITS
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.fill import FILL_VALUES
from ohmweave.rtl.group import mesh_neighbour, node_unit, opposite
from ohmweave.rtl.isa import Class, Place, ReadOp
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.cycle.array import Reads
from ohmweave.sim.cycle.decode import ChipSettings, NodeSettings, PESettings
from ohmweave.sim.cycle.lanes import Inputs, Program
from ohmweave.sim.frames import flit_type, flits_per_frame, pack, unpack

__all__ = ["outputs"]

#: Windows that are worked on at once: an array of them has some megabytes.
CHUNK = 4096


def outputs(
    params: GroupParams,
    chip: ChipSettings,
    levels: dict[int, np.ndarray],
    host: np.ndarray,
    entries: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """The flits (one after the other) that leave a chip to which the host sends `host`, and `entries` to the entries.

    Raises `OhmweaveError` for programs whose numbers depend on time, or that the model does not describe.
    """
    return _Chip(params, chip, levels, host, entries).collected(0, 0)


class _Chip:
    """Streams of flits between PEs, each computed once."""

    def __init__(
        self,
        params: GroupParams,
        chip: ChipSettings,
        levels: dict[int, np.ndarray],
        host: np.ndarray,
        entries: Sequence[np.ndarray],
    ):
        self._params, self._chip, self._levels = params, chip, levels
        self._host, self._entries = host, entries
        self._sent: dict[int, np.ndarray | None] = {}
        self._merged: dict[tuple[int, Turns], np.ndarray] = {}

    def collected(self, level: int, index: int) -> np.ndarray:
        """What a node of the collection tree, or below the last level a PE, gives."""
        if level == self._params.levels:
            return self._from(index, SwitchOutput.COLLECTION)
        node = self._chip.nodes.get(node_unit(level, index), NodeSettings())
        if not node.select:
            return self._none
        child = node.select - 1
        if not node.turns[child]:
            return self.collected(level + 1, index * RADIX + child)
        order = [(child + step) % RADIX for step in range(RADIX)]
        return _in_turn(
            [
                (self.collected(level + 1, index * RADIX + each), node.turns[each])
                for each in order
                if node.turns[each]
            ]
        )

    def _tree(self, unit: int) -> np.ndarray:
        """The flits that the distribution tree leads to a PE."""
        stream, first = self._host, 0
        entry = unit // (self._params.pes // self._params.entries)
        if self._chip.entries and self._chip.entries[entry].opened:
            stream = self._entries[entry] if self._entries else self._none
            first = self._params.entry_level
        for level in range(first, self._params.levels):
            below = RADIX ** (self._params.levels - level)
            node = self._chip.nodes.get(node_unit(level, unit // below), NodeSettings())
            child = unit // (below // RADIX) % RADIX
            first = node.children.bit_length() - 1
            if node.children == 1 << max(first, 0) and node.deals[first]:
                order = [(first + step) % RADIX for step in range(RADIX)]
                lengths = [node.deals[each] for each in order]
                place = order.index(child)
                start = sum(lengths[:place])
                stream = np.concatenate(
                    [
                        stream[at + start : at + start + lengths[place]]
                        for at in range(0, len(stream), sum(lengths))
                    ]
                )
            elif not node.children >> child & 1:
                return self._none
        return stream

    @property
    def _none(self) -> np.ndarray:
        return np.zeros(0, flit_type(self._params.pe.link_bits))

    def _from(self, unit: int, output: SwitchOutput) -> np.ndarray:
        """The flits that an output of a PE's switch gives."""
        pe = self._chip.pes.get(unit)
        source = SwitchInput.CLOSED if pe is None else pe.routes[output]
        if not isinstance(source, Turns):
            return self._input(unit, source)
        # Outputs that have the same turns take the same flits.
        if (unit, source) not in self._merged:
            second = self._input(unit, source.second)
            self._merged[unit, source] = _in_turn(
                [
                    (self._input(unit, source.first), source.first_flits),
                    (second, source.second_flits or len(second) + 1),
                ]
            )
        return self._merged[unit, source]

    def _input(self, unit: int, source: SwitchInput) -> np.ndarray:
        """The flits that come to an input of a PE's switch."""
        if source == SwitchInput.CLOSED:
            return self._none
        if source == SwitchInput.TREE:
            return self._tree(unit)
        if source == SwitchInput.CORE:
            return self._core(unit)
        side = source - SwitchInput.NORTH
        neighbour = mesh_neighbour(unit, side, self._params.side)
        if neighbour is None:
            return self._none
        return self._from(neighbour, SwitchOutput(SwitchOutput.NORTH + opposite(side)))

    def _core(self, unit: int) -> np.ndarray:
        """What a PE sends."""
        if unit not in self._sent:
            self._sent[unit] = None
            pe = self._chip.pes[unit]
            streams = [
                self._from(unit, output)
                for output in (SwitchOutput.MAIN, SwitchOutput.SHORTCUT, SwitchOutput.SIDE)
            ]
            array = self._params.pe.array
            levels = self._levels.get(unit, np.zeros((array.rows, array.cols), np.uint8))
            self._sent[unit] = _PE(self._params.pe, pe, levels).sent(*streams)
        found = self._sent[unit]
        if found is None:
            raise OhmweaveError(
                f"the cycle model follows streams that lead in no circle, and PE {unit} is in one"
            )
        return found


def _in_turn(turns: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Streams put together: of each so many flits, and so on until the one whose turn it is has none left."""
    rounds = min(len(stream) // length for stream, length in turns)
    whole = [stream[: rounds * length].reshape(rounds, length) for stream, length in turns]
    parts = [np.concatenate(whole, axis=1).reshape(-1)]
    for stream, length in turns:
        parts.append(stream[rounds * length : (rounds + 1) * length])
        if len(parts[-1]) < length:
            break
    return np.concatenate(parts)


@dataclass
class _Images:
    """Images of a convolution buffer, with the padding that its windows reach."""

    padded: np.ndarray  # (images, rows, columns, lanes of a pixel)
    stride: tuple[int, int]
    kernel: tuple[int, int]
    size: tuple[int, int]
    lanes: int

    @property
    def count(self) -> int:
        return len(self.padded) * self.size[0] * self.size[1]

    def windows(self) -> Iterator[np.ndarray]:
        """All windows, some at a time: (n, lanes)."""
        (rows, columns), (down, along), (high, wide) = self.kernel, self.stride, self.size
        each = max(1, CHUNK // wide)
        for image in self.padded:
            every = np.lib.stride_tricks.sliding_window_view(image, (rows, columns), (0, 1))
            every = every[: (high - 1) * down + 1 : down, : (wide - 1) * along + 1 : along]
            # Rows, columns of windows, lanes, rows, columns of the window: the column counts most, then the row.
            for first in range(0, high, each):
                part = every[first : first + each].transpose(0, 1, 4, 3, 2)
                found = np.zeros((part.shape[0] * wide, self.lanes), image.dtype)
                found[:, : rows * columns * part.shape[4]] = part.reshape(len(found), -1)
                yield found

    def all(self) -> np.ndarray:
        return np.concatenate(list(self.windows()) or [np.zeros((0, self.lanes), np.uint16)])


class _PE:
    """One PE's numbers."""

    def __init__(self, params: PEParams, pe: PESettings, levels: np.ndarray):
        self._params, self._pe, self._stage = params, pe, pe.stage
        self._levels = levels

    def sent(self, main: np.ndarray, shortcut: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Flits that leave the PE, from those that come to its receivers."""
        stage = self._stage
        half = stage["arithmetic"]
        images: dict[int, _Images | None] = {0: self._main(main), 1: None}
        stays = stage["pooling"]
        if not stays and shortcut.size:
            images[1] = self._images(1, self._words(shortcut, "shortcut"))
        post, pool = self._program("post"), self._program("pool")
        second = half["second"]
        source = self._array_source()
        vectors = self._vectors(side)
        if second:
            results = self._results(images[0], 0)
            made = post.run(Inputs(results, vectors, None))
            images[1] = self._stays(made.pixels)
            results = self._results(images[1], 1)
            made = pool.run(Inputs(results, None, None))
        else:
            results = self._results(images[source], source)
            other = None if stays else images[1 - source]
            windows = self._windows(other, half["post"]["last_channel"]) if post.names_window else None
            made = post.run(Inputs(results, vectors, windows))
            if half["pool"]["enable"]:
                if made.numbers.size:
                    raise OhmweaveError(
                        f"the cycle model has one program of a PE send, and both of PE {self._pe.unit} do"
                    )
                if stays:
                    images[1] = self._stays(made.pixels)
                windows = self._windows(images[1 - source], half["pool"]["last_channel"])
                made = pool.run(Inputs(None, None, windows))
        return self._flits(made.numbers, made.bits)

    def _array_source(self) -> int:
        """The buffer that the array reads."""
        found = {instruction["src"] for instruction in self._reads()}
        if self._stage["arithmetic"]["second"]:
            return 0
        if len(found) > 1 or Place.BOTH_BUFFERS in found:
            raise OhmweaveError(
                f"the cycle model has the array read one buffer, and that of PE {self._pe.unit} reads both"
            )
        return int(found == {Place.BUFFER_1})

    def _reads(self) -> list[Instruction]:
        return [instruction for instruction in self._pe.reram if instruction.kind == Class.R]

    # Flits to words.

    def _words(self, flits: np.ndarray, name: str) -> np.ndarray:
        """Words (n, lanes) of whole frames that a receiver makes of flits."""
        config, buffer = self._stage[name], self._params.buffer
        planes = 1 << config["planes"]
        bits = planes * buffer.act_bits
        before, taken = config["before"], config["last_taken"] + 1
        channels, pixels = before + taken + config["after"], config["last_pixel"] + 1
        numbers = _frames(flits, pixels * channels, bits, self._params.link_bits, signed=False)
        numbers = numbers.reshape(-1, channels)[:, before : before + taken]
        each = config["last_lane"] + 1
        numbers = np.pad(numbers, ((0, 0), (0, -taken % each))).reshape(-1, each)
        words = np.zeros((len(numbers), buffer.lanes), np.uint16)
        for plane in range(planes):
            place = plane * config["plane_lanes"]
            part = (numbers >> (plane * buffer.act_bits)) & ((1 << buffer.act_bits) - 1)
            words[:, place : place + each] |= part[:, : buffer.lanes - place].astype(np.uint16)
        return words

    def _main(self, flits: np.ndarray) -> _Images | None:
        """Images in buffer 0 of the frames that come from the network."""
        if not flits.size:
            return None
        words, config = self._words(flits, "main"), self._stage["spreader"]
        if config["spread"]:
            high, wide = config["last_y"] + 1, config["last_x"] + 1
            rows = np.arange(config["top"], config["end_y"] + 1, config["gap_y"] + 1)
            columns = np.arange(config["left"], config["end_x"] + 1, config["gap_x"] + 1)
            maps = words.reshape(-1, len(rows), len(columns), words.shape[1])
            spread = np.empty((len(maps), high, wide, words.shape[1]), words.dtype)
            spread[:] = self._fill(config["fill"])
            spread[:, rows[:, None], columns] = maps
            words = spread.reshape(-1, words.shape[1])
        return self._images(0, words)

    def _fill(self, fill: object) -> np.ndarray:
        """The word that stands for no pixel."""
        buffer = self._params.buffer
        word = np.zeros(buffer.lanes, np.uint16)
        each = fill["plane_lanes"]  # type: ignore[index]
        values = [int(value) for value in fill["values"]]  # type: ignore[index]
        for plane in range(1 << fill["planes"]):  # type: ignore[index]
            for channel in range(min(each, buffer.lanes - plane * each)):
                value = values[min(channel, FILL_VALUES - 1)]
                word[plane * each + channel] = (value >> (plane * buffer.act_bits)) & (
                    (1 << buffer.act_bits) - 1
                )
        return word

    def _images(self, number: int, words: np.ndarray) -> _Images | None:
        """The images that a buffer makes of words."""
        config, buffer = self._stage["buffers"][number], self._params.buffer
        if not config["kernel"]:
            return None
        lanes = buffer.lanes * (config["group_step"] or UNITS) // UNITS
        high, wide = config["in_height"], config["in_width"]
        whole = len(words) // (high * wide)
        images = words[: whole * high * wide].reshape(whole, high, wide, -1)[..., :lanes]
        rows, columns = config["kernel"], config["columns"]
        above, before = config["pad"], columns - config["first_columns"]
        down, along = config["stride"], config["next_columns"] + config["skip"]
        size = (config["last_y"] + 1, config["last_x"] + 1)
        below = max((size[0] - 1) * down + rows - above - high, 0)
        behind = max((size[1] - 1) * along + columns - before - wide, 0)
        padded = np.empty((whole, above + high + below, before + wide + behind, lanes), words.dtype)
        padded[:] = self._fill(config["fill"])[:lanes]
        padded[:, above : above + high, before : before + wide] = images
        return _Images(padded, (down, along), (rows, columns), size, buffer.window_lanes)

    # Windows to vectors.

    def _results(self, images: _Images | None, source: int) -> np.ndarray:
        """Vectors of results (pixels, vectors, lanes) of all windows of a buffer that are read."""
        params = self._params
        vectors = np.zeros((0, 1, params.alu_lanes), np.int64)
        if images is None or not images.count:
            return vectors
        reads = [each for each in self._reads() if self._counts(each, source)]
        if not reads:
            return vectors
        made = [self._read(each, source) for each in reads]
        counts = [self._counts(each, source) for each in reads]
        if len(reads) == 1:
            count = images.count // counts[0] * counts[0]
            found = [made[0].results(windows) for windows in images.windows()]
            return _vectors(np.concatenate(found)[:count], params)
        if len({each.channels for each in made}) > 1:
            raise OhmweaveError(
                "the cycle model has all reads of a buffer give as many results, and those of PE "
                f"{self._pe.unit} do not"
            )
        windows = images.all()
        found = []
        at = 0
        while at + counts[len(found) % len(counts)] <= len(windows):
            which = len(found) % len(counts)
            found.append(made[which].results(windows[at : at + counts[which]]))
            at += counts[which]
        return _vectors(np.concatenate(found), params) if found else vectors

    def _counts(self, instruction: Instruction, source: int) -> int:
        """Windows of a buffer that an R-type reads."""
        if instruction["src"] not in ((Place.BUFFER_0, Place.BUFFER_1)[source], Place.BOTH_BUFFERS):
            return 0
        if instruction["op"] == ReadOp.FULLY_CONNECTED:
            return 1
        return int(self._stage["reram"]["windows"][source]) + 1

    def _read(self, instruction: Instruction, source: int) -> Reads:
        if instruction["index"]:
            blocks = self._pe.blocks
        elif instruction["src"] == Place.BOTH_BUFFERS and source == 0:
            blocks = list(range(instruction["first"]))
        else:
            blocks = list(range(instruction["first"], instruction["blocks"] + 1))
        return Reads(
            self._params,
            self._levels,
            blocks=blocks,
            slices=instruction["slices"],
            planes=instruction["planes"],
            split=self._stage["reram"]["split"][source],
        )

    def _windows(self, images: _Images | None, last_channel: int) -> np.ndarray:
        """Vectors (windows, pixels of a window, vectors, lanes) of a buffer's windows, for the arithmetic half."""
        params, half = self._params, self._stage["arithmetic"]
        buffer = params.buffer
        count = -(-(last_channel + 1) // params.alu_lanes)
        pixels = half["last_window_pixel"] + 1
        planes = 1 << half["planes"]
        width = buffer.lanes >> half["groups"] >> half["planes"]
        # Channels behind those of a word are in the words that follow.
        several = word_vectors(params, half["groups"], half["planes"])
        firsts = range(0, last_channel + 1, width) if several else range(1)
        if images is None or not images.count:
            return np.zeros((0, pixels, count, params.alu_lanes), np.int64)
        found = np.zeros((images.count, pixels, count * params.alu_lanes), np.int64)
        at = 0
        for windows in images.windows():
            # The words that every pixel begins with, and those behind it.
            words = windows[:, : MAX_WINDOW_PIXELS * buffer.lanes].reshape(len(windows), -1, buffer.lanes)
            words = np.pad(words, ((0, 0), (0, len(firsts)), (0, 0)))
            part = found[at : at + len(windows)]
            for number, first in enumerate(firsts):
                channels = min(last_channel + 1 - first, width)
                for plane in range(planes):
                    begin, shift = plane * width, plane * buffer.act_bits
                    lanes = words[:, number : number + pixels, begin : begin + channels].astype(np.int64)
                    part[:, :, first : first + channels] |= lanes << shift
            at += len(windows)
        return found.reshape(len(found), pixels, count, params.alu_lanes)

    def _vectors(self, flits: np.ndarray) -> np.ndarray | None:
        """Vectors (n, lanes) of the side stream, one after the other."""
        if not flits.size:
            return None
        config, lanes = self._stage["side"], self._params.alu_lanes
        width = config["width"]
        if not width:
            return None
        units = width // 4
        taken = config["last_vector"] * lanes + config["last_count"] + 1
        before, after = config["before"] // units, config["after"] // units
        channels, pixels = before + taken + after, config["last_pixel"] + 1
        numbers = _frames(
            flits, pixels * channels, width, self._params.link_bits, signed=bool(config["signed"])
        )
        numbers = numbers.reshape(-1, channels)[:, before : before + taken]
        return np.pad(numbers, ((0, 0), (0, -taken % lanes))).reshape(-1, lanes)

    # Vectors to flits and to pixels that stay.

    def _program(self, name: str) -> Program:
        half = self._stage["arithmetic"][name]
        instructions = self._pe.arithmetic[half["first"] : half["last"] + 1] if half["enable"] else []
        return Program(
            self._params,
            instructions,
            self._pe.constants[half["row"] :],
            unit=self._pe.unit,
            channels=half["last_channel"] + 1,
            pixels=half["last_pixel"] + 1,
            wide_bits=self._stage["sender"]["wide_bits"],
        )

    def _stays(self, pixels: np.ndarray) -> _Images | None:
        """The images that results (pixels, channels) become in the second buffer, or in place."""
        half, buffer = self._stage["arithmetic"], self._params.buffer
        planes = 1 << half["planes"]
        width = buffer.lanes >> half["groups"] >> half["planes"]
        channels = min(pixels.shape[1], width)
        words = np.zeros((len(pixels), buffer.lanes), np.uint16)
        for plane in range(planes):
            part = (pixels[:, :channels] >> (plane * buffer.act_bits)) & ((1 << buffer.act_bits) - 1)
            words[:, plane * width : plane * width + channels] = part
        config = self._stage["splitter"]
        if config["last"]:
            shifted = []
            for pixel in range(config["last"] + 1):
                word = np.zeros_like(words)
                offset = pixel * config["channels"]
                word[:, : buffer.lanes - offset] = words[:, offset:]
                shifted.append(word)
            words = np.stack(shifted, axis=1).reshape(-1, buffer.lanes)
        return self._images(1, words)

    def _flits(self, numbers: np.ndarray, bits: int) -> np.ndarray:
        """Flits of what is sent, (frames, numbers)."""
        if not numbers.size:
            return np.zeros(0, flit_type(self._params.link_bits))
        masked = numbers & ((1 << bits) - 1)
        return pack([(masked[:, None, :], bits)], self._params.link_bits).reshape(-1)


def _frames(flits: np.ndarray, numbers: int, bits: int, link_bits: int, *, signed: bool) -> np.ndarray:
    """Numbers (frames, numbers) of all whole frames of flits."""
    per = flits_per_frame(numbers, bits, link_bits)
    whole = flits[: len(flits) // per * per].reshape(-1, per)
    if bits % min(FORMAT_BITS.values()) == 0:
        return unpack(whole, numbers, bits, signed=signed)
    raw = np.unpackbits(np.ascontiguousarray(whole).view(np.uint8), axis=1, bitorder="little")
    places = raw[:, : numbers * bits].reshape(len(whole), numbers, bits)
    return places @ (1 << np.arange(bits, dtype=np.int64))


def _vectors(results: np.ndarray, params: PEParams) -> np.ndarray:
    """Results (pixels, channels) as vectors of the arithmetic half's lanes."""
    padded = np.pad(results, ((0, 0), (0, -results.shape[1] % params.alu_lanes)))
    return padded.reshape(len(results), -1, params.alu_lanes)
