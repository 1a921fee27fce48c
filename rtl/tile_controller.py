"""The tile controller: FPRA's intra-tile data synchronization for a tile of one or several arrays."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.rtl.indexing_filter import IndexLayout

__all__ = ["TileController", "TileStep", "WriteBackLayout", "token_stream"]


class TileStep(enum.Enum, shape=3):  # type: ignore[call-arg]
    """FPRA's five steps; `TileController.state` shows that of the oldest work in the tile."""

    #: Nothing in the arrays and no request offered: the batched window or its index is not there yet.
    PENDING = 0
    #: Nothing in the arrays, a request is offered.
    DISPATCH = 1
    #: The array whose turn it is computes.
    COMPUTE = 2
    #: The result of that array is there.
    WRITE_BACK = 3
    #: All results of a window are written back and the token of its forwarding is offered.
    FORWARD = 4


class WriteBackLayout(data.StructLayout):
    """Which `array` gives its result, of which column `group`; `last` ends the window's results."""

    def __init__(self, arrays: int, groups: int):
        # At least one bit for the array: a tile of one would get a wire of width 0, which Verilog does not have.
        super().__init__({"array": range(max(arrays, 2)), "group": range(groups), "last": 1})


def token_stream() -> stream.Signature:
    """Stream of events without data: one constant bit, because Verilog has no port of width 0."""
    return stream.Signature(1)


class TileController(Component):
    """Sequencer of a tile (FPRA, "Intra-tile data synchronization", figure 9).

    It waits until the batched window is filled (step 1), dispatches each significant column group to all
    arrays (step 2), which compute (step 3); results are written back in the order of the arrays (step 4);
    when the last request of a window is dispatched the input window shifts, and when its last result is
    written back the output window is forwarded (step 5). A round is one column group on all arrays. At most
    two rounds are in progress, so that the dispatch of a round, also of the next window, overlaps with the
    write-back of the one before.

    Parameters
    ----------
    arrays
        arrays of the tile that share the window, 1 or more
    groups
        column groups of an array that are read one after the other, 1 or more

    Ports
    -----
    window : In(token_stream())
        valid: all data of the batched window is there. The transfer shifts the window: it comes in the
        cycle in which the last array takes the request of the window's last group.
    index : In(stream(IndexLayout(groups)))
        Column groups in order, `last` with the last one of a window; transferred when the last array takes
        its request. `first` is not looked at.
    request : array of `arrays` Out(stream(range(groups)))
        Column group for each array, which latches its part of the window in the cycle of the transfer.
        Arrays may take the requests of a round in different cycles.
    result : array of `arrays` In(token_stream())
        Array m holds the result of its oldest request; the transfer releases it. Any latency of one cycle
        or more.
    write_back : Out(stream(WriteBackLayout(arrays, groups)))
        The post-processing takes the result of `array`, in the same cycle as the transfer of result[array].
    forward : Out(token_stream())
        One token when all results of a window are written back. While it waits no result is written back.
    state : Out(TileStep)
        Step of the oldest work in the tile, for waveforms.

    A valid depends on no ready of its own stream. request.valid comes from window.valid, index.valid and
    local state; write_back.valid from result.valid, forward.ready and local state; result.ready from
    write_back.ready and forward.ready; window.ready and index.ready from request.ready and each other's
    valid. So result.ready may reach request.ready inside an array, forward.ready must depend on nothing
    here, and the valids of window and index must not depend on their readys.

    Timing
    ------
    With arrays that hold a result `read_cycles` after the request and take the next request together with
    the transfer of the result, a post-processing that takes at once, and windows and indices always there:

    Latency: window and index valid → request 0 cycles; result → write-back 0 cycles; last write-back of a
    window → forward 1 cycle. A window of n groups that comes to an idle tile in cycle c is forwarded in
    cycle c + read_cycles + arrays + (n - 1) × max(read_cycles, arrays).
    Throughput: one round every max(read_cycles, arrays) cycles, across groups and windows; with one array
    one request every read_cycles cycles.

    Raises `TypeError` when `arrays` or `groups` is out of range.
    """

    def __init__(self, *, arrays: int, groups: int):
        for name, value in (("Arrays", arrays), ("Groups", groups)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise TypeError(f"{name} must be a whole number of at least 1, not {value!r}")
        super().__init__(
            {
                "window": In(token_stream()),
                "index": In(stream.Signature(IndexLayout(groups))),
                "request": Out(stream.Signature(range(groups))).array(arrays),
                "result": In(token_stream()).array(arrays),
                "write_back": Out(stream.Signature(WriteBackLayout(arrays, groups))),
                "forward": Out(token_stream()),
                "state": Out(TileStep),
            }
        )
        self._arrays = arrays
        self._groups = groups

    @property
    def arrays(self) -> int:
        """Arrays of the tile."""
        return self._arrays

    @property
    def groups(self) -> int:
        """Column groups of an array."""
        return self._groups

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arrays = self._arrays
        index = self.index.payload

        # The rounds in progress, oldest first: what their write-backs have to say.
        rounds = Signal(range(3))
        head = Signal(data.StructLayout({"group": range(self._groups), "last": 1}))
        following = Signal.like(head)
        begins = Signal()
        ends = Signal()

        # Steps 1, 2 and the input half of 5. A round counts as begun when the first array takes its request, because
        # that array may have its result before the last one takes its own.
        taken = Signal(arrays)
        started = taken.any()
        offered = Signal()
        takes = Signal(arrays)
        complete = Signal()
        allowed = started | (rounds != 2)
        m.d.comb += [
            offered.eq(self.window.valid & self.index.valid & allowed),
            takes.eq(Cat(request.ready for request in self.request) & ~taken & offered.replicate(arrays)),
            complete.eq((Cat(request.ready for request in self.request) | taken).all()),
            self.index.ready.eq(complete & allowed & self.window.valid),
            self.window.ready.eq(complete & allowed & self.index.valid & index.last),
            begins.eq(takes.any() & ~started),
        ]
        for i, request in enumerate(self.request):
            m.d.comb += [request.valid.eq(offered & ~taken[i]), request.payload.eq(index.index)]
        with m.If(offered):
            m.d.sync += taken.eq(Mux(complete, 0, taken | takes))

        # Steps 3 and 4: the results in the order of the arrays.
        turn = Signal(range(max(arrays, 2)))
        present = Signal()
        held = Signal()
        written = Signal()
        m.d.comb += [
            held.eq(self.forward.valid & ~self.forward.ready),
            self.write_back.valid.eq(present & ~held),
            self.write_back.payload.array.eq(turn),
            self.write_back.payload.group.eq(head.group),
            self.write_back.payload.last.eq(head.last & (turn == arrays - 1)),
            written.eq(self.write_back.valid & self.write_back.ready),
            ends.eq(written & (turn == arrays - 1)),
        ]
        with m.If(rounds != 0), m.Switch(turn):
            for i, result in enumerate(self.result):
                with m.Case(i):
                    m.d.comb += [
                        present.eq(result.valid),
                        result.ready.eq(self.write_back.ready & ~held),
                    ]
        with m.If(written):
            m.d.sync += turn.eq(Mux(ends, 0, turn + 1))

        m.d.sync += rounds.eq(rounds + begins - ends)
        with m.If(ends):
            m.d.sync += head.eq(following)
        with m.If(begins):
            # The queue is empty before or behind what ends in this cycle.
            with m.If(rounds == ends):
                m.d.sync += [head.group.eq(index.index), head.last.eq(index.last)]
            with m.Else():
                m.d.sync += [following.group.eq(index.index), following.last.eq(index.last)]

        # The output half of step 5.
        with m.If(ends & head.last):
            m.d.sync += self.forward.valid.eq(1)
        with m.Elif(self.forward.ready):
            m.d.sync += self.forward.valid.eq(0)

        with m.If(self.forward.valid):
            m.d.comb += self.state.eq(TileStep.FORWARD)
        with m.Elif(rounds == 0):
            m.d.comb += self.state.eq(Mux(offered, TileStep.DISPATCH, TileStep.PENDING))
        with m.Elif(present):
            m.d.comb += self.state.eq(TileStep.WRITE_BACK)
        with m.Else():
            m.d.comb += self.state.eq(TileStep.COMPUTE)
        return m
