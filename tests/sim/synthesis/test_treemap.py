"""Treemaps: every rectangle has its share, inside the one around it, beside the others."""

import io
import random
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from ohmweave.sim.synthesis.treemap import LEAST_SHARE, Node, _squarified, boxes, png, svg


def grown(rng, depth=0):
    if depth == 3 or (depth and rng.random() < 0.3):
        kind = rng.choice(["logic", "memory", "macro"])
        return Node(kind, kind, 10 ** rng.uniform(0, 4))
    children = tuple(grown(rng, depth + 1) for _ in range(rng.randint(1, 6)))
    return Node(f"module_{depth}", "module", sum(child.value for child in children), children)


@pytest.mark.parametrize("seed", range(5))
def test_areas_of_rectangles(seed):
    rng = random.Random(seed)
    values = sorted((10 ** rng.uniform(-3, 3) for _ in range(rng.randint(1, 30))), reverse=True)
    places = list(_squarified(values, 10, 20, 300, 200))
    assert len(places) == len(values)
    for value, (x, y, width, height) in zip(values, places, strict=True):
        assert width * height == pytest.approx(300 * 200 * value / sum(values), rel=1e-6)
        assert x >= 10 - 1e-6
        assert y >= 20 - 1e-6
        assert x + width <= 310 + 1e-6
        assert y + height <= 220 + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_nested_and_apart(seed):
    found = boxes(grown(random.Random(seed)))
    stack = []
    for box in found:
        stack = stack[: box.depth]
        if stack:
            outer = stack[-1]
            assert outer.x <= box.x
            assert box.x + box.width <= outer.x + outer.width + 1e-6
            assert outer.y <= box.y
            assert box.y + box.height <= outer.y + outer.height + 1e-6
        stack.append(box)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            if other.depth == one.depth:
                across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
                down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
                assert across < 1e-6 or down < 1e-6


def test_drawings():
    root = Node("chip", "module", 100.0, (Node("logic", "logic", 75.0), Node("<a & b>", "macro", 25.0)))
    text = svg(root, "a < b", "NAND2")
    titles = [each.text for each in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
    assert "<a & b>: 25.0 NAND2, 25.00 %" in titles
    with Image.open(io.BytesIO(png(root, "a < b", "NAND2"))) as image:
        assert image.format == "PNG"


def test_what_is_too_small_is_left_out():
    root = Node("chip", "module", 1.0, (Node("logic", "logic", 1.0), Node("macro", "macro", LEAST_SHARE / 2)))
    assert [box.node.name for box in boxes(root)] == ["chip", "logic"]
    assert boxes(Node("nothing", "module", 0.0)) == []
