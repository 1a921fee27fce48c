"""Statistics of batch normalisation for seeded weights: measured on images, as training would have."""

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper

from ohmweave.sim.importer.execute import IR_VERSION, OPSET, GraphBuilder, emit
from ohmweave.sim.importer.record import ChannelAffine, FloatGraph

__all__ = ["measure_statistics", "random_images"]

EPSILON = 1e-5


def random_images(shape: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    """uint8 (count, height, width, channels): large smooth patches and some noise, as photographs have them."""
    channels, height, width = shape
    rng = np.random.default_rng(seed)
    images = rng.normal(128, 12, (count, height, width, channels))
    for cells in (2, 5, 11):
        coarse = rng.normal(0, 40, (count, cells + 1, cells + 1, channels))
        y, x = np.linspace(0, cells, height, endpoint=False), np.linspace(0, cells, width, endpoint=False)
        top, left = y.astype(int), x.astype(int)
        down, right = (y - top)[:, None, None], (x - left)[:, None]
        rows = coarse[:, top] * (1 - down) + coarse[:, top + 1] * down
        images += rows[:, :, left] * (1 - right) + rows[:, :, left + 1] * right
    return np.clip(images, 0, 255).astype(np.uint8)


def measure_statistics(graph: FloatGraph, images: np.ndarray) -> FloatGraph:
    """The network whose batch normalisations make zero mean and unit variance of what they see of these images.

    images  float32 (N, C, H, W), as the network takes them
    """
    import onnxruntime  # slow to import

    builder = GraphBuilder()
    axes = [0, 2, 3]
    outputs: list[str] = []
    tiny = builder.constant("epsilon", np.array(EPSILON, np.float32))
    for node in graph.nodes:
        if not isinstance(node, ChannelAffine):
            emit(builder, node, graph)
            continue
        out, source = node.output, node.inputs[0]
        mean = builder.node("ReduceMean", [source], f"{out}/mean", axes=axes)
        centred = builder.node("Sub", [source, mean], f"{out}/centred")
        square = builder.node("Mul", [centred, centred], f"{out}/square")
        variance = builder.node("ReduceMean", [square], f"{out}/variance", axes=axes)
        safe = builder.node("Add", [variance, tiny], f"{out}/safe")
        builder.node("Div", [centred, builder.node("Sqrt", [safe], f"{out}/spread")], out)
        outputs += [mean, variance]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, 1, 1]) for name in outputs]
    taken = helper.make_tensor_value_info(graph.input, TensorProto.FLOAT, ["N", *graph.shapes[graph.input]])
    made = helper.make_graph(builder.nodes, "statistics", [taken], values, builder.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = dict(zip(outputs, session.run(outputs, {graph.input: images}), strict=True))
    nodes = []
    for node in graph.nodes:
        if isinstance(node, ChannelAffine):
            mean, variance = (
                found[f"{node.output}/{key}"].reshape(-1).astype(np.float64) for key in ("mean", "variance")
            )
            scale = 1 / np.sqrt(variance + EPSILON)
            node = replace(node, scale=scale, shift=-mean * scale)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))
