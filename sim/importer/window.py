"""Where the windows of a convolution or pool lie, whichever way a file says it."""

from ohmweave.sim.importer.lower import Op

__all__ = ["PADDINGS", "Pads", "Pair", "window"]

PADDINGS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def window(op: Op, size: Pair, kernel: Pair) -> tuple[Pair, Pads, Pair]:
    """Strides, pads and dilations of a convolution or pool, whichever way the file gives the padding."""
    strides: Pair = op.wholes("strides", (1, 1), 1)  # type: ignore[assignment]
    dilations: Pair = op.wholes("dilations", (1, 1), 1)  # type: ignore[assignment]
    mode = op.text("auto_pad", "NOTSET", PADDINGS)
    if mode == "NOTSET":
        return strides, op.wholes("pads", (0, 0, 0, 0), 0), dilations  # type: ignore[return-value]
    if any(op.attributes.get("pads", ())):
        op.refuse(f"must have either its attribute pads or auto_pad {mode}, not both")
    if mode == "VALID":
        return strides, (0, 0, 0, 0), dilations
    before, after = [], []
    for i in (0, 1):
        outputs = -(-size[i] // strides[i])
        total = max(0, (outputs - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i])
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return strides, (*before, *after), dilations  # type: ignore[return-value]
