"""What receivers, buffers and halves of a PE that stands still wait for."""

from ohmweave.rtl.switch import SwitchOutput
from ohmweave.sim.cycle import arithmetic, links
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.buffer import rows_left
from ohmweave.sim.cycle.waits import MOVES, RECEIVERS, Answer, Ask, Registers

__all__ = ["Units"]

MAIN, SHORTCUT, SIDE = SwitchOutput.MAIN, SwitchOutput.SHORTCUT, SwitchOutput.SIDE


class Units(Registers):
    """Why nothing comes out of a unit (gives), or nothing goes into it (takes)."""

    # Receivers.

    def receiver_gives(self, p: int, r: int) -> Answer:
        """Why a receiver has no word or vector."""
        s, name = self._t.pes[p], RECEIVERS[r]
        running = s[(st.MAIN + st.RV_RUNNING, st.SHORTCUT + st.RV_RUNNING, st.SIDE + st.SD_RUNNING)[r]]
        if not running:
            return Answer(f"no instruction starts its {name} receiver", (Ask("control", p),))
        if s[st.SW_OFFERED] >> r & 1:
            return MOVES
        return Answer(f"its {name} receiver waits for {self._missing(p, r)}", (Ask("output_gives", p, r),))

    def _missing(self, p: int, r: int) -> str:
        """What of a frame has not come."""
        s, c = self._t.pes[p], self._t.settings[p]
        if r == SIDE:
            come, last = s[st.SIDE + st.SD_PIXEL], c[st.C_SIDE + st.S_LAST_PIXEL]
            begun = come or s[st.SIDE + st.SD_VECTOR] or s[st.SIDE + st.SD_HAVE] or s[st.SIDE + st.SD_PHASE]
        else:
            base, told = (st.MAIN, st.SHORTCUT)[r], (st.C_MAIN, st.C_SHORTCUT)[r]
            come, last = s[base + st.RV_PIXEL], c[told + st.R_LAST_PIXEL]
            begun = come or s[base + st.RV_AT] or s[base + st.RV_PHASE]
        return f"pixel {come + 1} of {last + 1}" if begun else "a frame"

    def receiver_takes(self, p: int, r: int) -> Answer:
        """Why a receiver takes no flit."""
        s, name = self._t.pes[p], RECEIVERS[r]
        if not self._enabled()[p]:
            return Answer("it was never enabled")
        if r == SIDE:
            running, full = s[st.SIDE + st.SD_RUNNING], s[st.SIDE + st.SD_FULL] and s[st.SIDE + st.SD_VALID]
        else:
            base = (st.MAIN, st.SHORTCUT)[r]
            running, full = s[base + st.RV_RUNNING], s[base + st.RV_VALID]
        if not running:
            return Answer(f"no instruction lets a frame into its {name} receiver", (Ask("control", p),))
        if not full:
            return MOVES
        if r == SIDE:
            return Answer("its side receiver is full", (Ask("program", p),))
        # The main receiver fills buffer 0, that of the shortcut buffer 1.
        if self._writer(p, r) != r:
            return Answer(f"its {name} receiver is full", (Ask("pixel_takes", p),))
        return Answer(f"its {name} receiver is full", (Ask("buffer_takes", p, r),))

    def receiver_ends(self, p: int, r: int) -> Answer:
        """Why the frame in a receiver does not end."""
        s = self._t.pes[p]
        full = s[(st.MAIN + st.RV_VALID, st.SHORTCUT + st.RV_VALID, st.SIDE + st.SD_FULL)[r]]
        if full and s[st.SW_OFFERED] >> r & 1:
            return self.receiver_takes(p, r)
        return self.receiver_gives(p, r)

    # Convolution buffers.

    def _writer(self, p: int, b: int) -> int | None:
        """The receiver whose words a buffer takes next; None: results."""
        s, c = self._t.pes[p], self._t.settings[p]
        if b:
            return None if c[st.C_POOLING] and not c[st.C_IN_PLACE] else SHORTCUT
        return None if c[st.C_IN_PLACE] and s[st.BUFFER_0 + st.WR_LAYER] else MAIN

    def _rows_left(self, p: int, b: int) -> int:
        return int(rows_left(self._t.pes[p], self._t.settings[p], b))

    def buffer_gives(self, p: int, b: int) -> Answer:
        """Why a buffer has no window."""
        if not self._t.settings[p, (st.C_BUFFER_0, st.C_BUFFER_1)[b] + st.B_KERNEL]:
            return Answer(f"its {_buffer(b)} was told no kernel")
        if self._rows_left(p, b) <= 0:
            return Answer(f"its {_buffer(b)} has no room for the rows of a window")
        writer = self._writer(p, b)
        return self.pixel_gives(p, 0) if writer is None else self.receiver_gives(p, writer)

    def buffer_takes(self, p: int, b: int) -> Answer:
        """Why a buffer takes no pixel."""
        s = self._t.pes[p]
        if self._rows_left(p, b) > 0:
            return MOVES
        if not s[(st.BUFFER_0, st.BUFFER_1)[b] + st.WN_VALID]:
            return self.buffer_gives(p, b)
        reader = Ask("program", p) if b == self._others(p) and self._names_windows(p) else Ask("reads", p)
        return Answer(f"its {_buffer(b)} is full", (reader,))

    def _others(self, p: int) -> int:
        """The buffer whose windows the arithmetic half takes; -1: neither's."""
        if self._t.settings[p, st.C_SECOND]:
            return -1
        return 0 if self._t.pes[p, st.EX_SRC] else 1

    def _names_windows(self, p: int) -> bool:
        return bool(self._t.arithmetic[p, :, st.A_WINDOW].any())

    # The ReRAM half.

    def control(self, p: int, _: int) -> Answer:
        """Why the program of the ReRAM half does not come to its next instruction."""
        s, c = self._t.pes[p], self._t.settings[p]
        if not self._enabled()[p]:
            return Answer("it was never enabled")
        if not c[st.C_LENGTH]:
            return Answer("its ReRAM half has no program")
        place = int(s[st.RC_PLACE])
        if s[st.RC_STOPPED]:
            return Answer(f"FETCH stopped its ReRAM half, at instruction {place}")
        kind = self._t.reram[p, place, st.I_KIND]
        says = f"instruction {place} of its ReRAM half waits for"
        if kind == st.KIND_TRANSFER:
            missing = self._t.reram[p, place, st.I_RECEIVERS] & ~s[st.RC_STARTED]
            ends = [r for r in range(len(RECEIVERS)) if missing >> r & 1]
            names = " and ".join(RECEIVERS[r] for r in ends)
            return Answer(
                f"{says} the end of the {names} frame", tuple(Ask("receiver_ends", p, r) for r in ends)
            )
        if kind in (st.KIND_READ, st.KIND_WEIGHT_LOAD) or s[st.EX_LEFT]:
            return Answer(f"{says} the end of the reads", (Ask("reads", p),))
        if kind == st.KIND_DATA_LOAD:
            return Answer(f"{says} the end of the work on results", (Ask("program", p),))
        return MOVES

    def reads(self, p: int, _: int) -> Answer:
        """Why the array does not read, or its results stay."""
        s, c = self._t.pes[p], self._t.settings[p]
        if not s[st.EX_LEFT]:
            return self.control(p, 0)
        if s[st.FR_STUCK]:
            return Answer("its index table lists no blocks")
        both, chosen = s[st.FR_BOTH], s[st.EX_CHOSEN]
        # Of both buffers either can go on; what the second holds comes of the first.
        choice = int(s[st.EX_SRC]) if not both or chosen else (0 if s[st.EX_LEFT] & 1 else 1)
        buffer = choice if not c[st.C_IN_PLACE] else 0
        if not s[(st.BUFFER_0, st.BUFFER_1)[buffer] + st.WN_VALID]:
            return Answer("its array waits for a window", (Ask("buffer_gives", p, buffer),))
        if s[st.SA_VALID] and s[st.VC_WAITING]:
            return Answer("the results of its array wait", (Ask("program", p),))
        if both and not chosen:
            return Answer("its array waits for room in the second buffer", (Ask("pixel_takes", p),))
        return MOVES

    # The arithmetic half.

    def pixel_gives(self, p: int, _: int) -> Answer:
        """Why no pixel of results comes to a buffer."""
        return MOVES if self._t.pes[p, st.PB_VALID] else self.program(p, 0)

    def pixel_takes(self, p: int, _: int) -> Answer:
        """Why a pixel of results is not taken by a buffer."""
        if not self._t.pes[p, st.PB_VALID]:
            return self.program(p, 0)
        if self._t.settings[p, st.C_IN_PLACE] and self._writer(p, 0) is not None:
            # They come after the image that is written.
            full = self._t.pes[p, st.MAIN + st.RV_VALID]
            return self.buffer_takes(p, 0) if full else self.receiver_gives(p, MAIN)
        for b in range(2):
            if self._writer(p, b) is None:
                return self.buffer_takes(p, b)
        return Answer("its results are for a buffer that takes none")

    def program(self, p: int, pool: int) -> Answer:
        """What the arithmetic half waits for; if no body is under way what the program that was asked for needs."""
        s, c = self._t.pes[p], self._t.settings[p]
        if not self._enabled()[p]:
            return Answer("it was never enabled")
        says = "its arithmetic half waits for"
        # Pixels of the side are at a receiver, and windows in the buffer that the array does not read.
        for_window = max(self._others(p), 0)
        if arithmetic.in_lanes(s):
            out = s[st.OUT + st.IS_VALID] and s[st.OUT + st.IS_DES] == st.DES_NETWORK
            network = out and s[st.SN_VALID]
            return Answer("", (Ask("input_takes", p, links.CORE),)) if network else MOVES
        if s[st.ISSUE + st.IS_VALID]:
            if s[st.ISSUE + st.IS_RESULT] and not s[st.VC_VALID]:
                return Answer(f"{says} a result", (Ask("reads", p),))
            if s[st.ISSUE + st.IS_SIDE] and not s[st.SIDE + st.SD_VALID]:
                return Answer(f"{says} the side input", (Ask("receiver_gives", p, SIDE),))
            return MOVES
        if s[st.CT_VALID]:
            index = s[st.CT_PLACE + st.PL_INDEX]
            named = self._t.arithmetic[p, index, st.A_WINDOW]
            if named and not s[(st.BUFFER_0, st.BUFFER_1)[for_window] + st.WN_VALID]:
                return Answer(
                    f"{says} a window of its {_buffer(for_window)}", (Ask("buffer_gives", p, for_window),)
                )
            return MOVES
        if not (c[st.C_POST + st.P_ENABLE] or c[st.C_POOL + st.P_ENABLE]):
            return Answer("its arithmetic half has no program")
        post = c[st.C_POST + st.P_ENABLE]
        if pool or not (post or s[st.VC_VALID]):
            if s[(st.BUFFER_0, st.BUFFER_1)[for_window] + st.WN_VALID]:
                return MOVES
            return Answer("", (Ask("buffer_gives", p, for_window),))
        if s[st.VC_VALID]:
            of_second = c[st.C_SECOND] and s[st.VC_SRC]
            if not (c[st.C_POOL + st.P_ENABLE] if of_second else post):
                return Answer("no program of its arithmetic half takes the results of its array")
            full = not of_second and s[st.SQ_PIXELS] >= arithmetic.PIXELS
            return Answer(f"{says} room for its results", (Ask("pixel_takes", p),)) if full else MOVES
        return Answer(f"{says} a result", (Ask("reads", p),))


def _buffer(b: int) -> str:
    return "second buffer" if b else "convolution buffer"
