"""The instructions and constants that make a PE compute its share of a stage."""

from dataclasses import dataclass, field

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.constants import CONSTANTS, constant_writes
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.isa import AluOp, Batch, Destination, Format, NetworkOp, Operand, Place, ReadOp, When
from ohmweave.sim.stages import Scale, Stage
from ohmweave.sim.tiling import Tiling

__all__ = ["Arithmetic", "arithmetic", "blocks", "constants", "frame_in", "read_frame", "reading"]

FORMATS = {4: Format.U4, 8: Format.U8, 16: Format.U16}


@dataclass
class Arithmetic:
    """The arithmetic half's part.

    post, pool  programs for results, and for windows of what waits to be pooled
    constants   slot → value of each channel: an addend, or a scale
    """

    post: list[Instruction] = field(default_factory=list)
    pool: list[Instruction] = field(default_factory=list)
    constants: dict[int, np.ndarray | Scale] = field(default_factory=dict)

    def constant(self, value: np.ndarray | Scale) -> Operand:
        slot = len(self.constants)
        if slot == CONSTANTS:
            raise OhmweaveError(f"it needs more than {CONSTANTS} constants a channel")
        self.constants[slot] = value
        return Operand(Operand.K0 + slot)

    def then(self, op: AluOp, **operands: int) -> None:
        self.post.append(Instruction.of(op, **operands))


def arithmetic(stage: Stage, *, first: bool, final: bool, channels: int, stays: bool = False) -> Arithmetic:
    """Programs of one PE of a stage.

    first     no partial sums come in
    final     its results are those of the stage; else they are partial sums for the next PE
    channels  of the pass
    stays     the results go to a buffer of the PE, for the layer that follows
    """
    made = Arithmetic()
    if not final:
        made.post.append(_leave(channels, fuse=1, collection=False))
        made.then(
            AluOp.ADD,
            src=Operand.RESULT,
            with_=Operand.ZERO if first else Operand.SIDE,
            des=Destination.NETWORK,
            forward=0,
        )
        return made

    made.post.append(_leave(channels, fuse=int(stage.raw), size=FORMATS.get(stage.result.bits, Format.U4)))
    source = Operand.RESULT
    # A product is there three cycles later, as FORWARD or in a register. Where there are two, the side tensor's comes
    # second and they wait together; else it comes first and what is added up otherwise takes the time.
    if stage.main_scale is None:
        _scale_side(made, stage)
    if not first:
        made.then(AluOp.ADD, src=source, with_=Operand.SIDE)
        source = Operand.FORWARD
    if stage.main_scale is not None:
        made.then(AluOp.MUL, src=source, with_=made.constant(stage.main_scale))
        _scale_side(made, stage)
        source = Operand.FORWARD
    when = When.ALWAYS
    if stage.whole_frame:
        assert stage.side_scale is None
        made.then(AluOp.ADD, src=Operand.R1, with_=source, batch=Batch.FRAME, des=Destination.R1)
        source, when = Operand.FORWARD, When.LAST

    steps: list[dict[str, int]] = [
        {"op": AluOp.ADD, "src": source, "with_": made.constant(stage.bias), "when": when}
    ]
    if stage.side_scale is not None:
        steps.append({"op": AluOp.ADD, "with_": Operand.R0})
    if stage.scale is not None:
        size = FORMATS[stage.result.bits]
        steps.append({"op": AluOp.MUL, "with_": made.constant(stage.scale), "when": when})
        for op, limit, nothing in (
            (AluOp.MAX, stage.low, 0),
            (AluOp.MIN, stage.high, (1 << stage.result.bits) - 1),
        ):
            if limit != nothing:
                limits = np.full(len(stage.bias), limit, np.int64)
                steps.append({"op": op, "with_": made.constant(limits), "when": when})
        # The last one alone clips: what is clipped is FORWARD later.
        steps[-1]["size"] = size
    steps[-1] |= {"des": Destination.BUFFER if stage.pool or stays else Destination.NETWORK, "forward": 0}
    for step in steps:
        made.then(AluOp(step.pop("op")), **step)
    if stage.pool is not None:
        size = FORMATS[stage.result.bits]
        made.pool = [
            _leave(channels // stage.merged, fuse=0, size=size),
            Instruction.of(
                AluOp.MAX,
                src=Operand.FORWARD,
                with_=Operand.WINDOW,
                # Not `size`, which would cost each pixel two cycles more: activations are in its range anyway.
                batch=Batch.WINDOW,
                des=Destination.NETWORK,
            ),
        ]
    return made


def _scale_side(made: Arithmetic, stage: Stage) -> None:
    """The side tensor's product to R0, if there is one, besides what is FORWARD."""
    if stage.side_scale is not None:
        scale = made.constant(stage.side_scale)
        made.then(AluOp.MUL, src=Operand.WINDOW, with_=scale, des=Destination.R0, forward=0)


def _leave(channels: int, *, fuse: int, size: Format = Format.U4, collection: bool = True) -> Instruction:
    """What leaves a PE: results for the host, or partial sums for a neighbour."""
    op, des = (NetworkOp.COLLECTION, Place.COLLECTION) if collection else (NetworkOp.LOCAL, Place.MESH)
    return Instruction.of(op, fuse=fuse, size=size, channels=channels - 1, src=Place.ARITHMETIC, des=des)


def reading(
    tiling: Tiling, pe: PEParams, *, tile: int, first: bool, side: bool | None, channels: int, index: bool
) -> list[Instruction]:
    """The ReRAM half's program for PE `tile` of a row of them: frames in, windows read.

    side  whether the side tensor comes by a link of its own; None: there is none here
    """
    program = [
        frame_in(tiling, tile),
        read_frame(tiling, index=int(index), blocks=blocks(channels, pe) - 1),
    ]
    if side is not None:
        assert tiling.stage.side is not None
        shortcut = Instruction.of(
            NetworkOp.DISTRIBUTION,
            size=FORMATS[tiling.stage.side.bits],
            kernel=1,
            channels=channels - 1,
            src=Place.TREE,
            des=Place.BUFFER_1,
        )
        # By its own link it may come while the main tensor's frame before is still on its way. Between the main
        # tensor's pixels it stands after the reads: before them they would wait for the side frames before.
        program.insert(0 if side else len(program), shortcut)
    if not first:
        program.append(
            Instruction.of(
                NetworkOp.LOCAL,
                fuse=1,
                channels=channels - 1,
                src=Place.MESH,
                des=Place.ARITHMETIC,
            )
        )
    return program


def blocks(channels: int, pe: PEParams) -> int:
    """Blocks of results that a pixel's channels take."""
    return -(-channels // pe.array.columns_at_once)


def frame_in(tiling: Tiling, tile: int) -> Instruction:
    """A frame of the main tensor comes."""
    start, behind = tiling.shares[tile]
    return Instruction.of(
        NetworkOp.DISTRIBUTION,
        size=FORMATS[tiling.stage.main.bits],
        kernel=tiling.kernel[0],
        channels=behind - start - 1,
        src=Place.TREE,
        des=Place.BUFFER_0,
    )


def read_frame(tiling: Tiling, *, src: Place = Place.BUFFER_0, **operands: int) -> Instruction:
    """The windows of a frame are read; `operands` say which blocks."""
    return Instruction.of(
        ReadOp.CONVOLUTION if tiling.windows > 1 else ReadOp.FULLY_CONNECTED,
        kernel=tiling.kernel[0],
        planes=tiling.planes.bit_length() - 1,
        slices=tiling.slices.bit_length() - 1,
        src=src,
        des=Place.ARITHMETIC,
        **operands,
    )


def constants(
    made: Arithmetic, pe: PEParams, first: int, behind: int, *, row: int = 0
) -> list[tuple[int, int]]:
    """The (local address, data) writes of the constants of channels `first` to `behind`, all lanes of their vectors.

    row  vectors before theirs
    """
    count = behind - first
    padding = -count % pe.alu_lanes
    writes = []
    for slot, value in made.constants.items():
        if isinstance(value, Scale):
            numbers = value.mult.astype(np.int64) | (value.shift.astype(np.int64) & 63) << 16
        else:
            numbers = np.asarray(value, np.int64)
        for channel, bits in enumerate(np.pad(numbers[first:behind], (0, padding)).tolist()):
            writes += constant_writes(pe, channel=row * pe.alu_lanes + channel, slot=slot, bits=bits)
    return sorted(writes)
