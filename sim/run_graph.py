"""One run of an integer graph."""

import time
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph_golden
from ohmweave.sim.graph import Graph
from ohmweave.sim.images import ImageSet
from ohmweave.sim.report import Report, SimTimes, versions
from ohmweave.sim.run import GOLDEN, Outcome

__all__ = ["run_graph"]


def run_graph(
    graph: Graph, images: ImageSet, *, arch: str, backend: str, waves: Path | None = None
) -> Outcome:
    """Run images through the golden model; `OhmweaveError` for any other backend."""
    if backend != GOLDEN:
        raise OhmweaveError(
            f"the backend must be {GOLDEN} for a network that was float, and {backend} does not run it yet"
        )
    if waves is not None:
        raise OhmweaveError("waveforms need a simulator, and the golden backend is none")
    start = time.perf_counter()
    logits = graph_golden.logits(graph, images.pixels)
    correct = None
    if images.labels is not None and logits.ndim == 2:
        correct = int((graph_golden.classify(logits) == images.labels).sum())
    report = Report(
        model=graph.name,
        arch=arch,
        backend=backend,
        images=len(images),
        correct=correct,
        mismatches=0,
        cycles=None,
        layers=[],
        sim=SimTimes(build_s=0.0, run_s=time.perf_counter() - start, cycles_per_s=None),
        versions=versions(("onnx", "onnxruntime")),
    )
    return Outcome(report, logits)
