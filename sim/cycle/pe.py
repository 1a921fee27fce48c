"""One cycle of a PE: its units from the end of the data path to its beginning."""

import numpy as np

from ohmweave.sim.cycle import arithmetic, receivers
from ohmweave.sim.cycle.activity import activity
from ohmweave.sim.cycle.arithmetic import lanes_move, sender_moves, working
from ohmweave.sim.cycle.buffer import buffer_moves, rows_left
from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.receivers import receive, receive_side, spread_moves, spread_word
from ohmweave.sim.cycle.reram import (
    array_busy,
    choose,
    controller_moves,
    reads_move,
    starts_wanted,
    sums_move,
)
from ohmweave.sim.cycle.state import (
    AWAKE,
    BUFFER_0,
    BUFFER_1,
    C_IN_PLACE,
    C_MAIN,
    C_POOLING,
    C_SECOND,
    C_SHORTCUT,
    C_SPLIT_LAST,
    CORE_TAKEN,
    EX_LEFT,
    EX_SRC,
    FR_BOTH,
    KR_PROMISED,
    MAIN,
    PB_VALID,
    RV_VALID,
    SA_VALID,
    SD_VALID,
    SHORTCUT,
    SIDE,
    SN_VALID,
    SP_PIXEL,
    SPREAD_X,
    SPREAD_Y,
    SW_OFFERED,
    SW_TAKEN,
    TL_ROUNDS,
    VC_SRC,
    VC_VALID,
    VC_WAITING,
    WN_VALID,
    WR_LAYER,
    XB_READING,
    XB_WAITING,
)  # fmt: skip

__all__ = ["pe_cycle"]

# Names of other modules as constants of this one: numba looks no further.
RESULT_TAKEN, SIDE_TAKEN = arithmetic.RESULT_TAKEN, arithmetic.SIDE_TAKEN
WINDOW_TAKEN, CHANGED = arithmetic.WINDOW_TAKEN, arithmetic.CHANGED
FLIT_TAKEN, START_READY, MOVED = receivers.FLIT_TAKEN, receivers.START_READY, receivers.MOVED
#: Of `rows_left`: a whole further row has a place besides the one being written.
SPARE_ROWS = 2


@process
def pe_cycle(s: np.ndarray, c: np.ndarray, ri: np.ndarray, ai: np.ndarray, fetched: np.ndarray) -> int:
    """All units of a PE but the switch, which is told what it takes and tells what it gives (`SW_TAKEN`).

    Gives back what the PE does in the cycle, a `PEState`.

    When nothing changed in a cycle nothing will in the next, until a flit comes or goes: the PE sleeps.

    ri, ai   its instruction tables
    fetched  room for the place of an instruction
    """
    window_0, window_1 = s[BUFFER_0 + WN_VALID], s[BUFFER_1 + WN_VALID]
    rows_0, rows_1 = rows_left(s, c, 0), rows_left(s, c, 1)
    running = 1 if s[EX_LEFT] else 0
    busy = array_busy(s)
    reading = running | busy | s[SA_VALID] | s[VC_VALID] | working(s)
    before = s[EX_SRC]

    # Results that stay, to the buffer that they are for.
    in_place, pooling, second = c[C_IN_PLACE], c[C_POOLING], c[C_SECOND]
    back = in_place != 0 and s[BUFFER_0 + WR_LAYER] != 0
    stays = pooling != 0 and in_place == 0
    ready = rows_0 > 0 if back else stays and rows_1 > 0
    pixel = s[PB_VALID] != 0 and ready
    word_taken = 1 if pixel and s[SP_PIXEL] == c[C_SPLIT_LAST] else 0
    if pixel:
        s[SP_PIXEL] = 0 if word_taken else s[SP_PIXEL] + 1

    # The arithmetic half works with the buffer that the array does not read.
    core_taken = s[CORE_TAKEN]
    s[CORE_TAKEN] = 0
    other = 0 if before else 1
    works = 0 if second else (window_1 if other else window_0)
    result, source, side = s[VC_VALID], s[VC_SRC], s[SIDE + SD_VALID]
    waits = s[SN_VALID] != 0 and core_taken == 0
    sent = sender_moves(s, c, core_taken)
    does = activity(s, ai, busy, sent & 1, 1 if waits else 0, works)
    did = lanes_move(s, c, ai, sent & 1, result, source, side, works, word_taken, fetched)
    changed = pixel or core_taken != 0 or sent & 2 != 0 or did & CHANGED != 0 or busy != 0

    # The ReRAM half.
    choice = choose(s, c, window_0, window_1, 1 if rows_1 >= SPARE_ROWS else 0)
    physical = 1 if choice == 1 and in_place == 0 else 0
    window = window_1 if physical else window_0
    rounds, waiting = s[TL_ROUNDS], s[XB_WAITING]
    result_ready = rounds != 0 and (s[SA_VALID] == 0 or s[VC_WAITING] == 0)
    starts = (
        choice >= 0 and window != 0 and rounds != 2 and s[XB_READING] == 0 and (waiting == 0 or result_ready)
    )
    if s[SA_VALID] != 0 and s[VC_WAITING] == 0:
        changed = True
    ends = sums_move(s, c, 1 if did & RESULT_TAKEN else 0)
    read = reads_move(s, c, choice, 1 if starts else 0, ends)
    if pooling != 0 and s[FR_BOTH] != 0:
        s[KR_PROMISED] += (1 if read & 2 and choice == 0 else 0) - word_taken
    changed = changed or starts or ends != 0

    # Windows that are taken, and pixels that come.
    read_0 = 1 if read & 1 and physical == 0 else 0
    read_1 = 1 if read & 1 and physical != 0 else 0
    if second == 0:
        taken = 1 if did & WINDOW_TAKEN else 0
        if other:
            read_1 = taken
        else:
            read_0 = taken
    wanted = starts_wanted(s, ri)
    offered = s[SW_OFFERED]
    words = s[SHORTCUT + RV_VALID]
    short_ready = not stays and rows_1 > 0
    word, passes = s[MAIN + RV_VALID], spread_word(s, c)
    spread_valid = word != 0 if passes else word != 0 or s[SPREAD_X] != 0 or s[SPREAD_Y] != 0
    spread_taken = spread_valid and rows_0 > 0 and not back
    got_main = receive(s, c, MAIN, C_MAIN, offered & 1, 1 if spread_taken and passes else 0, wanted & 1)
    got_short = receive(
        s, c, SHORTCUT, C_SHORTCUT, offered & 2, 1 if short_ready and words else 0, wanted >> 1 & 1
    )
    got_side = receive_side(s, c, offered & 4, 1 if did & SIDE_TAKEN else 0, wanted >> 2 & 1)
    if spread_taken:
        spread_moves(s, c)
    written_0 = pixel if back else spread_taken
    written_1 = (pixel and not back) or (not stays and words != 0 and rows_1 > 0)
    changed |= buffer_moves(s, c, 0, 1 if written_0 else 0, read_0) != 0
    changed |= buffer_moves(s, c, 1, 1 if written_1 else 0, read_1) != 0
    s[SW_TAKEN] |= (got_main & FLIT_TAKEN) | (got_short & FLIT_TAKEN) << 1 | (got_side & FLIT_TAKEN) << 2
    if (got_main | got_short | got_side) & MOVED:
        changed = True

    open_ = (got_main >> 1 & 1) | (got_short >> 1 & 1) << 1 | (got_side >> 1 & 1) << 2
    changed |= controller_moves(s, c, ri, open_, running, busy, reading) != 0
    s[AWAKE] = 1 if changed else 0
    return does
