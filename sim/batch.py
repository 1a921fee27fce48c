"""How cycles grow with the number of images that follow each other (Re-ReRAM, figure 21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from ohmweave.sim.backends import Result

__all__ = ["MOST", "Batch", "batch_table", "batches"]

#: The largest batch that is told of.
MOST = 64
#: Cycles a second for which images a second are given.
CLOCK = 1_000_000_000


@dataclass(frozen=True)
class Batch:
    """So many images one after the other: cycles from the first flit in to the last result of the last of them."""

    images: int
    cycles: int

    @property
    def cycles_per_image(self) -> float:
        return self.cycles / self.images

    def record(self) -> dict[str, Any]:
        """What is written as JSON."""
        return {"images": self.images, "cycles": self.cycles, "cycles_per_image": self.cycles_per_image}


def batches(results: Sequence["Result"], images: int, copies: int = 1) -> list[Batch]:
    """Batches of 1, 2, 4, … images, as many as the first simulation had.

    They are the first images of one run: later ones have entered while they were on their way.

    results  a pipeline's; or one for each configuration of the chip that all images pass through, whose cycles are
             added up, each from its own first flit on
    images   of the run
    copies   images of a frame: a batch that ends within one has its results when the frame has
    """
    count = min(images, results[0].shards[0] * copies, MOST)
    found = []
    for number in (1 << power for power in range(count.bit_length())):
        last = -(-number // copies) - 1
        cycles = sum(int(result.last_out[last]) - int(result.first_in[0]) + 1 for result in results)
        found.append(Batch(number, cycles))
    return found


def batch_table(found: Sequence[Batch]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("batch", "cycles", "an image", "images/s at 1 GHz"):
        table.add_column(column, justify="right")
    for each in found:
        a_second = CLOCK / each.cycles_per_image
        table.add_row(
            f"{each.images}", f"{each.cycles:,}", f"{each.cycles_per_image:,.1f}", f"{a_second:,.0f}"
        )
    return table
