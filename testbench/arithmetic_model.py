"""What programs of the arithmetic half compute: an interpreter of its instructions, a body at a time, without time.

It takes nothing from `ohmweave.rtl`; instructions are written and read as `isa_model` has them.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ohmweave.testbench.isa_model import FIELDS, fields, legal

__all__ = [
    "ADD", "BUFFER", "DIV", "EACH", "FORWARD", "FRAME", "ISQRT", "LAST", "MAX", "MIN", "MUL", "NETWORK", "RELU",
    "RESULT", "SIDE", "SUB", "U4", "U8", "U16", "WIDE", "WINDOW", "ZERO", "IllegalInstruction", "K", "Machine",
    "Program", "R", "Sent", "a_type", "instruction", "n_type", "nibbles", "operate", "scale",
]  # fmt: skip

ADD, SUB, MUL, DIV, ISQRT, RELU, MAX, MIN = range(1, 9)
ZERO, FORWARD, RESULT, SIDE, WINDOW = range(5)
R = (8, 9, 10, 11)
K = (12, 13, 14, 15)
NETWORK, BUFFER = 1, 2
U4, U8, U16, WIDE = range(4)
EACH, FRAME = 1, 2
LAST = 1
WINDOW_WORDS = 9


def instruction(kind: int, **values: int) -> int:
    """The word of an instruction; fields that are not given are 0."""
    word, low = kind, 2
    for name, width in FIELDS[kind]:
        value = values.pop(name, 0)
        assert 0 <= value < 1 << width
        word |= value << low
        low += width
    assert not values
    return word


def a_type(op: int, src: int = FORWARD, second: int = ZERO, **values: int) -> int:
    """An A-type instruction, WIDE and forwarding unless told otherwise."""
    return instruction(1, **{"op": op, "src": src, "with": second, "size": WIDE, "forward": 1} | values)


def n_type(size: int, channels: int, fuse: int = 0) -> int:
    """Out over the collection tree."""
    return instruction(2, op=3, size=size, channels=channels - 1, fuse=fuse, kernel=1, src=3, des=6)


def scale(mult: int, shift: int) -> int:
    return mult | (shift % 64) << 16


def operate(op: int, a: int, b: int, bits: int) -> int:
    """One lane's result before it is saturated; `b` is signed, of `bits` bits."""
    if op == MUL:
        mult, shift = b & 0xFFFF, b >> 16 & 63
        shift -= 64 if shift > 47 else 0
        return a * mult << -shift if shift <= 0 else (a * mult + (1 << shift - 1)) >> shift
    if op == DIV:
        if b == 0:
            return 0 if a == 0 else 1 << 24 if a > 0 else -(1 << 24)
        return max(-(1 << 24), min(1 << 24, (2 * a + b) // (2 * b)))
    if op == ISQRT:
        x, half = max(a, 1), bits // 2
        places = half - (x.bit_length() + 1) // 2
        mult, shift = (math.isqrt((1 << 2 * half + 32) // (x << 2 * places)) + 1) >> 1, half + 15 - places
        return scale(mult, shift) if mult < 1 << 16 else scale(mult >> 1, shift - 1)
    if op == RELU:
        return max(a, 0)
    return {ADD: a + b, SUB: a - b, MAX: max(a, b), MIN: min(a, b)}[op]


def saturate(value: int, size: int, bits: int) -> int:
    value = max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))
    return value if size == WIDE else max(0, min((1 << (4 << size)) - 1, value))


class IllegalInstruction(Exception):
    """`args[0]` is its place in the table."""


class Sent(NamedTuple):
    """One vector to the network; the lanes that count, minus one."""

    values: list[int]
    size: int
    fuse: int
    counted: int
    last: int


@dataclass
class Program:
    """One of the two programs, and how far it is.

    row     vectors of constants and registers before its own
    second  it runs for results though it is the pool's
    """

    pool: bool
    first: int
    last: int
    pixels: int
    channels: int
    row: int = 0
    second: bool = False
    vector: int = 0
    pixel: int = 0
    form: dict[str, int] | None = None


@dataclass
class Machine:
    """The half: lanes, lane bits, bits of an activation's plane; lanes of a pixel in the second buffer.

    Vectors wait in `results`, `sides`; windows, lists of nibbles, in `windows`. What comes out is in `sent` and
    `pixels`.
    """

    lanes: int
    bits: int
    act_bits: int
    buffer_lanes: int
    table: list[int]
    constants: Mapping[tuple[int, int], int]  # (channel, slot)
    window_pixels: int = 1
    groups: int = 0
    planes: int = 0
    pool_enabled: bool = False
    results: deque[list[int]] = field(default_factory=deque)
    sides: deque[list[int]] = field(default_factory=deque)
    windows: deque[list[int]] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)
    pixels: list[list[int]] = field(default_factory=list)
    registers: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    built: list[int] = field(default_factory=list)

    def run(self, program: Program, bodies: int) -> None:
        for _ in range(bodies):
            self.body(program)

    def body(self, program: Program) -> None:
        """One run of a program. Raises `IllegalInstruction`."""
        count = min(self.lanes, program.channels - self.lanes * program.vector)
        tail = program.channels <= self.lanes * (program.vector + 1)
        forward = [0] * self.lanes
        result = [] if program.pool and not program.second else self.results.popleft()
        past: set[str] = set()
        for place in range(program.first, program.last + 1):
            word = self.table[place]
            f = fields(word, word & 3)
            if not legal(np.array([word]), "arithmetic")[0] or self._misplaced(program, word, f, past):
                raise IllegalInstruction(place)
            if word & 3 == 2:
                program.form = f
            if word & 3 != 1 or (f["when"] == LAST and program.pixel != program.pixels - 1):
                continue
            named = {f["src"], f["with"]}
            past |= {text for operand, text in ((RESULT, "result"), (WINDOW, "window")) if operand in named}
            past |= {"buffer"} if f["des"] == BUFFER else set()
            side = self.sides.popleft() if SIDE in named else []
            each = f["batch"] == EACH
            for pixel in range(self.window_pixels if each else 1):
                if each and pixel == 0:
                    forward = [0] * self.lanes
                streams = {ZERO: [0] * self.lanes, FORWARD: forward, RESULT: result, SIDE: side}
                operands = [
                    streams[operand] if operand in streams else self._read(program, f, operand, pixel, count)
                    for operand in (f["src"], f["with"])
                ]
                values = [
                    saturate(operate(f["op"], a, b, self.bits), f["size"], self.bits)
                    for a, b in zip(*operands, strict=True)
                ]
                if f["forward"] or each:
                    forward = values
            self._write(program, f, values, count, tail)
        if tail and ((program.pool and not program.second) or "window" in past):
            self.windows.popleft()
        program.vector = 0 if tail else program.vector + 1
        program.pixel = (program.pixel + tail) % program.pixels

    def _read(self, program: Program, f: dict[str, int], operand: int, pixel: int, count: int) -> list[int]:
        """What a register, a constant or the window holds."""
        if operand == WINDOW:
            return self._window(program.vector, pixel, count)
        vector = program.row + program.vector
        if operand in R:
            fresh = f["batch"] == FRAME and program.pixel == 0
            return [0] * self.lanes if fresh else self.registers.get((vector, operand), [0] * self.lanes)
        constants = [self.constants[self.lanes * vector + lane, operand - K[0]] for lane in range(count)]
        return constants + [0] * (self.lanes - count)

    def _misplaced(self, program: Program, word: int, f: dict[str, int], past: set[str]) -> bool:
        if word & 3 != 1:
            return False
        named = {f["src"], f["with"]}
        if program.pool and not program.second:
            return RESULT in named or f["des"] == BUFFER
        if program.pool:
            return (RESULT in named and "result" in past) or WINDOW in named or f["des"] == BUFFER
        again = (RESULT in named and "result" in past) or (f["des"] == BUFFER and "buffer" in past)
        return again or (WINDOW in named and (self.pool_enabled or "window" in past))

    def _plane(self) -> int:
        return self.buffer_lanes >> self.groups >> self.planes

    def _window(self, vector: int, pixel: int, count: int) -> list[int]:
        found = []
        for each in range(self.lanes * vector, self.lanes * vector + count):
            value, word, channel = 0, pixel, each
            if self.groups == 0 and self._plane() % self.lanes == 0:  # further words have the channels behind
                word, channel = pixel + each // self._plane(), each % self._plane()
            if channel < self._plane() and word < WINDOW_WORDS:
                for plane in range(1 << self.planes):
                    lane = word * (self.buffer_lanes >> self.groups) + plane * self._plane() + channel
                    value |= self.windows[0][lane] << self.act_bits * plane
            found.append(value)
        return found + [0] * (self.lanes - count)

    def _write(self, program: Program, f: dict[str, int], values: list[int], count: int, tail: bool) -> None:
        des = f["des"]
        if des in R:
            self.registers[program.row + program.vector, des] = values
        elif des == NETWORK:
            form = program.form or {"size": f["size"], "fuse": 0, "channels": program.channels - 1}
            rest = form["channels"] - self.lanes * program.vector
            if rest >= 0:
                last = program.pixel == program.pixels - 1 and rest < self.lanes
                self.sent.append(
                    Sent(values, form["size"], form["fuse"], min(rest, self.lanes - 1), int(last))
                )
        elif des == BUFFER:
            if program.vector == 0:
                self.built = [0] * self.buffer_lanes
            for plane in range(1 << self.planes):
                for lane, value in enumerate(values[:count]):
                    channel = self.lanes * program.vector + lane
                    if channel < self._plane():
                        part = value >> self.act_bits * plane & ((1 << self.act_bits) - 1)
                        self.built[plane * self._plane() + channel] = part
            if tail:
                self.pixels.append(self.built)


def nibbles(values: Iterable[int], bits: int) -> int:
    """Join elements of `bits` bits into a word, the first lowest."""
    word = 0
    for place, value in enumerate(values):
        word |= (value & ((1 << bits) - 1)) << bits * place
    return word
