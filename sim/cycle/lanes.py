"""Programs of the arithmetic half on whole streams of vectors: the instructions in order, each on all pixels at once.

Where a program keeps something in a register from pixel to pixel, it goes through the pixels of a frame one by one, all
frames side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import MAX_SHIFT, MULT_BITS, QUOTIENT_BITS, SHIFT_BITS
from ohmweave.rtl.elements import FORMAT_BITS
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.isa import (
    CONSTANT_OPERANDS,
    REGISTER_OPERANDS,
    AluOp,
    Batch,
    Class,
    Destination,
    Format,
    Operand,
    When,
)  # fmt: skip

__all__ = ["Inputs", "Made", "Program", "operate"]

#: Bits up to which a product, and what it is rounded with, is exact in int64.
EXACT_BITS = 62


@dataclass(frozen=True)
class Inputs:
    """What a program works on, None where nothing comes.

    results  (pixels, vectors, lanes)
    side     (vectors, lanes), in the order in which they are taken
    windows  (windows, pixels of a window, vectors, lanes)
    """

    results: np.ndarray | None
    side: np.ndarray | None
    windows: np.ndarray | None


@dataclass(frozen=True)
class Made:
    """What a program gives: numbers to the network (frames, numbers) of `bits`, and pixels that stay (n, channels)."""

    numbers: np.ndarray
    bits: int
    pixels: np.ndarray


@dataclass
class _Frame:
    """A run of the instructions: the inputs of some pixels, and what registers hold."""

    inputs: Inputs
    first: bool
    last: bool
    registers: dict[int, np.ndarray]


class Program:
    """A program of the arithmetic half.

    constants  (vectors, slots, lanes), from the program's first vector on
    channels   of a pixel; pixels of a frame; wide_bits, of numbers that are sent as they are in the lanes
    """

    def __init__(
        self, params: PEParams, instructions: Sequence[Instruction], constants: np.ndarray, *, unit: int,
        channels: int, pixels: int, wide_bits: int,
    ):  # fmt: skip
        self._params, self._unit, self._channels, self._pixels = params, unit, channels, pixels
        self._lanes, self._vectors = params.alu_lanes, -(-channels // params.alu_lanes)
        self._counts = np.arange(self._vectors * self._lanes).reshape(self._vectors, self._lanes) < channels
        self._constants = np.where(self._counts[:, None], constants[: self._vectors], 0)
        head = instructions[0] if instructions and instructions[0].kind == Class.N else None
        self._body = [each for each in instructions[head is not None :] if each.kind != Class.C]
        if any(each.kind == Class.N for each in self._body):
            self._refuse("formats at the head of a program", "a program of PE {} changes them")
        self._format(head, wide_bits)
        self.names_window = any(self._names(each, Operand.WINDOW) for each in self._body)
        self._sides = sum(self._names(each, Operand.SIDE) for each in self._body)
        self._carried = self._carries()

    def _refuse(self, accepted: str, found: str) -> None:
        raise OhmweaveError(f"the cycle model takes {accepted}, and {found.format(self._unit)}")

    @staticmethod
    def _names(instruction: Instruction, operand: int) -> bool:
        return operand in (instruction["src"], instruction["with"])

    def _format(self, head: Instruction | None, wide_bits: int) -> None:
        """Channels that are sent of each pixel, and their bits."""
        sends = [each for each in self._body if each["des"] == Destination.NETWORK]
        self._sent = self._channels if head is None else head["channels"] + 1
        widths = {FORMAT_BITS.get(Format(each["size"]), wide_bits) for each in sends}
        if head is not None:
            widths = {wide_bits if head["fuse"] else FORMAT_BITS.get(Format(head["size"]), wide_bits)}
        if len(widths) > 1 and sends:
            self._refuse("numbers of one width from a program", "one of PE {} sends several")
        self.bits = widths.pop() if widths else wide_bits

    def _carries(self) -> bool:
        """Whether a pixel finds something in a register that one before it left there."""
        written: set[int] = set()
        ever = {each["des"] for each in self._body} & set(REGISTER_OPERANDS)
        carried = False
        for each in self._body:
            for name in ("src", "with"):
                if each[name] in ever - written:
                    carried = True
                    if each["batch"] != Batch.FRAME:
                        self._refuse(
                            "registers that a frame begins with zero", "PE {} keeps one from frame to frame"
                        )
            if each["when"] == When.ALWAYS:
                written.add(each["des"])
        return carried or any(each["when"] == When.LAST for each in self._body)

    def run(self, inputs: Inputs) -> Made:
        """All pixels for which there are inputs."""
        count = self._available(inputs)
        none = np.zeros((0, 0), np.int64)
        if not count or not self._body:
            return Made(none, self.bits, none)
        side = inputs.side
        if side is not None and self._sides:
            side = side[: count * self._vectors * self._sides]
            side = side.reshape(count, self._vectors, self._sides, self._lanes)
        whole = Inputs(
            None if inputs.results is None else inputs.results[:count],
            side,
            None if inputs.windows is None else inputs.windows[:count],
        )
        if not self._carried:
            sent, pixels = self._execute(_Frame(whole, False, False, {}), count)
            frames = len(sent) // self._pixels
            return Made(sent[: frames * self._pixels].reshape(frames, -1), self.bits, pixels)
        frames = count // self._pixels
        parts, stay = [], []
        registers: dict[int, np.ndarray] = {}
        for pixel in range(self._pixels):
            chosen = slice(pixel, frames * self._pixels, self._pixels)
            every = Inputs(
                *(
                    None if each is None else each[chosen]
                    for each in (whole.results, whole.side, whole.windows)
                )
            )
            frame = _Frame(every, pixel == 0, pixel == self._pixels - 1, registers)
            sent, pixels = self._execute(frame, frames)
            parts.append(sent)
            stay.append(pixels)
        numbers = np.concatenate(parts, axis=1) if frames else none
        kept = [each for each in stay if each.size]
        pixels = np.stack(kept, axis=1).reshape(frames * len(kept), -1) if kept else none
        return Made(numbers, self.bits, pixels)

    def _available(self, inputs: Inputs) -> int:
        """Pixels that all inputs of the program are there for."""
        counts = []
        if inputs.results is not None:
            counts.append(len(inputs.results))
            if len(inputs.results) and inputs.results.shape[1] != self._vectors:
                self._refuse("as many results as a pixel has channels", "PE {} has others")
        if self._sides:
            counts.append(0 if inputs.side is None else len(inputs.side) // (self._vectors * self._sides))
        if self.names_window or inputs.results is None:
            counts.append(0 if inputs.windows is None else len(inputs.windows))
        return min(counts, default=0)

    def _execute(self, frame: _Frame, count: int) -> tuple[np.ndarray, np.ndarray]:
        """What is sent (pixels, numbers), and pixels that stay, of `count` pixels."""
        shape = (count, self._vectors, self._lanes)
        forward: np.ndarray = np.zeros(1, np.int64)
        sides = 0
        sent, pixels = [], np.zeros((0, 0), np.int64)
        for each in self._body:
            if each["when"] == When.LAST and not frame.last:
                continue
            rounds = frame.inputs.windows.shape[1] if self._repeats(each, frame) else 1  # type: ignore[union-attr]
            value = forward
            for turn in range(rounds):
                named = np.zeros(1, np.int64) if self._repeats(each, frame) and not turn else value
                a, b = (self._operand(each, name, frame, named, turn, sides) for name in ("src", "with"))
                value = operate(AluOp(each["op"]), a, b, Format(each["size"]), self._params.lane_bits)
            sides += self._names(each, Operand.SIDE)
            if each["forward"] or rounds > 1 or self._repeats(each, frame):
                forward = value
            result = np.broadcast_to(value, shape)
            if each["des"] == Destination.NETWORK:
                sent.append(result)
            elif each["des"] == Destination.BUFFER:
                pixels = np.where(self._counts, result, 0).reshape(count, -1)[:, : self._channels]
            elif each["des"] in REGISTER_OPERANDS:
                frame.registers[each["des"]] = result
        return self._leaving(sent, count), pixels

    def _repeats(self, instruction: Instruction, frame: _Frame) -> bool:
        return instruction["batch"] == Batch.WINDOW

    def _leaving(self, sent: list[np.ndarray], count: int) -> np.ndarray:
        """The numbers of the vectors that go out, (pixels, numbers)."""
        if not sent:
            return np.zeros((count, 0), np.int64)
        parts = []
        for vector in range(self._vectors):
            lanes = min(self._sent - vector * self._lanes, self._lanes)
            if lanes > 0:
                parts += [each[:, vector, :lanes] for each in sent]
        return np.concatenate(parts, axis=1)

    def _operand(
        self, instruction: Instruction, name: str, frame: _Frame, forward: np.ndarray, turn: int, sides: int
    ) -> np.ndarray:
        operand = instruction[name]
        inputs = frame.inputs
        if operand == Operand.FORWARD:
            return forward
        if operand == Operand.RESULT and inputs.results is not None:
            return inputs.results
        if operand == Operand.SIDE and inputs.side is not None:
            return inputs.side[:, :, sides]
        if operand == Operand.WINDOW and inputs.windows is not None:
            return inputs.windows[:, turn]
        if operand in CONSTANT_OPERANDS:
            return self._constants[:, operand - Operand.K0]
        if operand in REGISTER_OPERANDS and not (instruction["batch"] == Batch.FRAME and frame.first):
            return frame.registers.get(operand, np.zeros(1, np.int64))
        return np.zeros(1, np.int64)


def operate(op: AluOp, a: np.ndarray, b: np.ndarray, size: Format, bits: int) -> np.ndarray:
    """One operation on lanes of `bits` bits: `docs/number-formats.md`."""
    if bits > EXACT_BITS:
        # Python's whole numbers, which have no end; clipped they fit again.
        a, b = a.astype(object), b.astype(object)
    if op == AluOp.ADD:
        value = a + b
    elif op == AluOp.SUB:
        value = a - b
    elif op == AluOp.MUL:
        value = _scaled(a, b, bits)
    elif op == AluOp.DIV:
        value = _quotient(a, b)
    elif op == AluOp.ISQRT:
        value = np.vectorize(lambda x: _inverse_root(x, bits), otypes=[np.int64])(a)
    elif op == AluOp.RELU:
        value = np.maximum(a, 0)
    else:
        value = np.maximum(a, b) if op == AluOp.MAX else np.minimum(a, b)
    top = (1 << (bits - 1)) - 1
    low = -top - 1
    if size in FORMAT_BITS:
        low, top = 0, min(top, (1 << FORMAT_BITS[size]) - 1)
    return np.clip(value, low, top).astype(np.int64)


def _scaled(a: np.ndarray, scale: np.ndarray, bits: int) -> np.ndarray:
    """a · mult / 2^shift, rounded, halves up."""
    scale = scale.astype(np.int64)
    mult = scale & ((1 << MULT_BITS) - 1)
    shift = (scale >> MULT_BITS) & ((1 << SHIFT_BITS) - 1)
    shift = np.where(shift > MAX_SHIFT, shift - (1 << SHIFT_BITS), shift)
    size = max(int(a.max(initial=0)), -int(a.min(initial=0))).bit_length() + MULT_BITS
    if max(size, size - int(shift.min(initial=0))) > EXACT_BITS:
        product = a.astype(object) * mult.astype(object)
        value = np.vectorize(lambda p, s: _rounded(p, s), otypes=[object])(product, shift)
        most = 1 << (bits - 1)
        return np.clip(value, -most, most - 1).astype(np.int64)
    product = a * mult
    right = np.maximum(shift, 0)
    # The shift by one place more, rounded and halved, needs no constant; by nothing it is what it was.
    rounded = ((product >> np.maximum(right - 1, 0)) + 1) >> 1
    return np.where(right == 0, product << np.maximum(-shift, 0), rounded)


def _rounded(value: int, shift: int) -> int:
    shift = int(shift)
    return value << -shift if shift <= 0 else (value + (1 << (shift - 1))) >> shift


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """⌊a / b + 1/2⌋ within 2^24 of zero; by zero, that with the sign of a, or 0."""
    most = 1 << QUOTIENT_BITS
    a, b = np.broadcast_arrays(a, b)
    divisor = np.where(b == 0, 1, b)
    # 2·(a mod b) compared with b rounds without leaving the numbers' range.
    value, rest = a // divisor, a % divisor
    value = value + np.where(divisor > 0, 2 * rest >= divisor, 2 * rest <= divisor)
    by_nothing = np.where(a > 0, most, np.where(a < 0, -most, 0))
    return np.where(b == 0, by_nothing, np.clip(value, -most, most))


def _inverse_root(x: int, bits: int) -> int:
    """The scale nearest to 1/√x; x below 1 counts as 1."""
    pairs = bits // 2
    width = 2 * pairs
    value, places = max(int(x), 1), 0
    while value < 1 << (width - 2):
        value <<= 2
        places += 1
    # The root to 18 places, as digit after digit finds it, rounded to those of the multiplier.
    digits = 18
    root = isqrt((1 << (width + 2 * digits)) // value)
    extra = digits + 1 - MULT_BITS
    mult = (root + (1 << (extra - 1))) >> extra
    shift = width // 2 + MULT_BITS - 1 - places
    if mult >> MULT_BITS:
        mult, shift = mult >> 1, shift - 1
    return mult | (shift & ((1 << SHIFT_BITS) - 1)) << MULT_BITS
