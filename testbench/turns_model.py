"""Whose turn it is: the model that the testbenches of sequences share."""

import random

__all__ = ["Turns"]


class Turns:
    """A list of numbers, and how many transfers each stays for; whole lists are walked, nothing is counted down."""

    def __init__(self, *, numbers: int, turn: int, count: int, table: int):
        self._mask = (1 << (numbers - 1).bit_length()) - 1
        self._turn, self._count, self._table = turn, count, table
        self.registers: dict[int, int] = {}
        self._moves = 0

    @property
    def current(self) -> int:
        length = self.registers.get(self._turn, 0)
        count = self.registers.get(self._count, 0) % 16 or 16
        place = self._moves // length % count if length else 0
        return self.registers.get(self._table + place, 0) & self._mask

    def move(self) -> None:
        self._moves += 1

    def write(self, address: int, word: int) -> None:
        if address in (self._turn, self._count, *range(self._table, self._table + 16)):
            self.registers[address] = word
            self._moves = 0

    def some_writes(self, chance: random.Random, longest: int) -> list[tuple[int, int]]:
        """All registers anew, in any order; the words may have bits that mean nothing."""
        count = chance.randint(1, 16)
        writes = [(self._table + n, chance.getrandbits(16)) for n in range(count)]
        writes += [(self._turn, chance.randint(1, longest)), (self._count, count)]
        chance.shuffle(writes)
        return writes
