"""ONNX files as float networks: read as what comes from anywhere, folded, and brought to few kinds of nodes."""

from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.convolutions import CONVOLUTIONS
from ohmweave.sim.importer.elementwise import ELEMENTWISE
from ohmweave.sim.importer.fold import fold, static_input
from ohmweave.sim.importer.layout import MOVING
from ohmweave.sim.importer.lower import Lowering, Op, View
from ohmweave.sim.importer.pools import POOLS
from ohmweave.sim.importer.qdq import QUANTISING
from ohmweave.sim.importer.read import node_name, read_model
from ohmweave.sim.importer.record import Conv, ConvTranspose, FloatGraph
from ohmweave.sim.importer.simplify import simplify

__all__ = ["OPERATORS", "FloatGraph", "load_onnx"]

HANDLERS = CONVOLUTIONS | POOLS | ELEMENTWISE | QUANTISING | MOVING
#: Operators that a file may have, besides those that are folded because they compute with constants only.
OPERATORS = tuple(sorted(HANDLERS))


def load_onnx(path: Path) -> FloatGraph:
    """The float network in an ONNX file, one image at a time.

    Raises `OhmweaveError`, one sentence, for a file that cannot be read, is no ONNX model or is damaged, and for an
    operator or attribute that is not supported, with the node's name.
    """
    path = Path(path)
    model = read_model(path)
    name, sizes = static_input(path, model)
    nodes, constants = fold(path, model)
    opset = max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    output, title = model.graph.output[0].name, model.graph.name
    del model
    lowering = Lowering(constants)
    shape = (sizes[0], *(sizes[1:] or (1, 1)))
    lowering.shapes[name] = shape  # type: ignore[assignment]
    lowering.views[name] = View(name, (1, *shape))
    if len(sizes) == 1:
        lowering.views[name] = lowering.views[name].viewed(lowering.views[name].indices().reshape(1, -1))
    for node in nodes:
        if node.op_type not in HANDLERS:
            raise OhmweaveError(
                f"operator {node.op_type} of node {node_name(node)} is not supported; supported are "
                f"{', '.join(OPERATORS)}"
            )
        HANDLERS[node.op_type](Op(lowering, node, opset))
    tensor = _output(path, lowering, output)
    graph = FloatGraph(
        name=title,
        input=name,
        output=tensor,
        nodes=tuple(lowering.nodes),
        shapes=lowering.shapes,
        notes=tuple(lowering.notes),
    )
    graph = simplify(graph)
    if not any(isinstance(node, Conv | ConvTranspose) for node in graph.nodes):
        raise OhmweaveError(f"{path} must have at least one layer with weights, and has none")
    return graph


def _output(path: Path, lowering: Lowering, name: str) -> str:
    """The tensor that is the graph's output, element by element."""
    if name in lowering.quantised:
        raise OhmweaveError(f"the output {name} of {path} must be float, and is quantised")
    view = lowering.views.get(name)
    if view is None:
        raise OhmweaveError(f"the output {name} of {path} must depend on the input, and is constant")
    indices = view.indices().reshape(-1)
    shape = lowering.shapes[view.tensor]
    pixels = shape[1] * shape[2]
    order = indices[::pixels] // pixels
    expected = order[:, None] * pixels + range(pixels)
    split = (
        len(view.shape) < 2 or view.shape[0] != 1 or (len(view.shape) == 4 and view.shape[2:] != shape[1:])
    )
    if split or len(indices) != len(order) * pixels or (indices != expected.reshape(-1)).any():
        raise OhmweaveError(
            f"the output {name} of {path} must be channels by height by width, or features, and is in another order"
        )
    return lowering.permuted(view.tensor, order)
