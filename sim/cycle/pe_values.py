"""What one PE computes: from the flits that come to its receivers those that it sends."""

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.layouts import MAX_WINDOW_PIXELS
from ohmweave.rtl.arithmetic.window_select import word_vectors
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.isa import Class, Place, ReadOp
from ohmweave.sim.cycle.array import Reads
from ohmweave.sim.cycle.decode import PESettings
from ohmweave.sim.cycle.lanes import Inputs, Program
from ohmweave.sim.cycle.maps import Images, Maps
from ohmweave.sim.frames import flit_type, pack

__all__ = ["PEValues"]


class PEValues:
    """One PE's numbers."""

    def __init__(self, params: PEParams, pe: PESettings, levels: np.ndarray):
        self._params, self._pe, self._stage = params, pe, pe.stage
        self._levels = levels
        self._maps = Maps(params, pe.stage)

    def sent(self, main: np.ndarray, shortcut: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Flits that leave the PE, from those that come to its receivers."""
        stage = self._stage
        half = stage["arithmetic"]
        images: dict[int, Images | None] = {0: self._maps.main(main), 1: None}
        stays = stage["pooling"]
        if not stays and shortcut.size:
            images[1] = self._maps.images(1, self._maps.words(shortcut, "shortcut"))
        post, pool = self._program("post"), self._program("pool")
        second = half["second"]
        source = self._array_source()
        vectors = self._maps.side(side)
        if second:
            results = self._results(images[0], 0)
            made = post.run(Inputs(results, vectors, None))
            images[1] = self._maps.stays(made.pixels)
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
                    images[1] = self._maps.stays(made.pixels)
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

    def _results(self, images: Images | None, source: int) -> np.ndarray:
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

    def _windows(self, images: Images | None, last_channel: int) -> np.ndarray:
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

    def _flits(self, numbers: np.ndarray, bits: int) -> np.ndarray:
        """Flits of what is sent, (frames, numbers)."""
        if not numbers.size:
            return np.zeros(0, flit_type(self._params.link_bits))
        masked = numbers & ((1 << bits) - 1)
        return pack([(masked[:, None, :], bits)], self._params.link_bits).reshape(-1)


def _vectors(results: np.ndarray, params: PEParams) -> np.ndarray:
    """Results (pixels, channels) as vectors of the arithmetic half's lanes."""
    padded = np.pad(results, ((0, 0), (0, -results.shape[1] % params.alu_lanes)))
    return padded.reshape(len(results), -1, params.alu_lanes)
