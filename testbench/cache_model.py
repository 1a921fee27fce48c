"""The cache and its memory, one request after the other, in Python: what the netlist has to answer and count."""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["FLUSH", "INVALIDATE", "PREFETCH", "READ", "WRITE", "CacheModel", "Request"]

READ, WRITE, PREFETCH, FLUSH, INVALIDATE = range(5)


@dataclass(frozen=True)
class Request:
    """`data` and `strobe` as on the port."""

    kind: int
    address: int = 0
    data: int = 0
    strobe: int = 0


@dataclass
class Line:
    number: int
    data: bytearray
    changed: bool = False


@dataclass
class Set:
    """Lines by way, and a decision tree: for each range of ways, whether the next victim is in its upper half."""

    lines: dict[int, Line] = field(default_factory=dict)
    upper: dict[tuple[int, int], bool] = field(default_factory=dict)

    def touch(self, way: int, ways: int) -> None:
        low, high = 0, ways
        while high - low > 1:
            middle = (low + high) // 2
            self.upper[low, high] = way < middle
            low, high = (low, middle) if way < middle else (middle, high)

    def victim(self, ways: int) -> int:
        for way in range(ways):
            if way not in self.lines:
                return way
        low, high = 0, ways
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.upper.get((low, high)) else (low, middle)
        return low


class CacheModel:
    """Sizes in bytes. `bad_read` and `bad_write` say of a line's number whether memory answers with an error."""

    def __init__(self, *, capacity: int, line: int, ways: int, word: int, memory: bytearray):
        self.line, self.ways, self.word = line, ways, word
        self.sets = [Set() for _ in range(capacity // line // ways)]
        self.memory = memory
        self.bad_read: Callable[[int], bool] = lambda number: False
        self.bad_write: Callable[[int], bool] = lambda number: False
        self.counts = {"hit": 0, "miss": 0, "write_back": 0, "failure": 0}

    def serve(self, request: Request) -> tuple[int, int] | None:
        """The response's data and error; None if there is none."""
        if request.kind in (FLUSH, INVALIDATE):
            return 0, int(self._flush(forget=request.kind == INVALIDATE))
        if request.kind > INVALIDATE:
            return 0, 1
        line = self._find(request.address // self.line)
        if request.kind == PREFETCH:
            return None
        if line is None:
            return 0, 1
        place = request.address % self.line // self.word * self.word
        if request.kind == READ:
            return int.from_bytes(line.data[place : place + self.word], "little"), 0
        for n, byte in enumerate(request.data.to_bytes(self.word, "little")):
            if request.strobe >> n & 1:
                line.data[place + n] = byte
        line.changed = True
        return 0, 0

    def _find(self, number: int) -> Line | None:
        """The line, brought in if it is not there; None if that failed."""
        set_ = self.sets[number % len(self.sets)]
        for way, line in set_.lines.items():
            if line.number == number:
                self.counts["hit"] += 1
                set_.touch(way, self.ways)
                return line
        self.counts["miss"] += 1
        way = set_.victim(self.ways)
        set_.touch(way, self.ways)
        if way in set_.lines and set_.lines[way].changed and not self._write_back(set_.lines[way]):
            return None
        if self.bad_read(number):
            self.counts["failure"] += 1
            return None
        data = self.memory[number * self.line : (number + 1) * self.line]
        set_.lines[way] = Line(number, bytearray(data))
        return set_.lines[way]

    def _write_back(self, line: Line) -> bool:
        self.counts["write_back"] += 1
        if self.bad_write(line.number):
            self.counts["failure"] += 1
            return False
        self.memory[line.number * self.line : (line.number + 1) * self.line] = line.data
        line.changed = False
        return True

    def _flush(self, *, forget: bool) -> bool:
        """Whether a line could not be written back."""
        failed = False
        for set_ in self.sets:
            for way in sorted(set_.lines):
                if set_.lines[way].changed:
                    failed |= not self._write_back(set_.lines[way])
            if forget:
                set_.lines = {way: line for way, line in set_.lines.items() if line.changed}
        return failed
