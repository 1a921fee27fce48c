"""The ReRAM half: its controller, the reads of the array, and what becomes of their sums."""

import numpy as np

from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    C_LENGTH,
    C_POOLING,
    C_READ_CYCLES,
    C_VECTOR_BLOCKS,
    EX_BEGINS,
    EX_BLOCK,
    EX_CHOSEN,
    EX_LEFT,
    EX_READ,
    EX_SRC,
    FR_BOTH,
    FR_END,
    FR_FIRST,
    FR_READS,
    FR_STUCK,
    FR_WINDOWS_0,
    FR_WINDOWS_1,
    I_BOTH,
    I_END,
    I_EXIT,
    I_FIRST,
    I_KIND,
    I_READS,
    I_RECEIVERS,
    I_SRC,
    I_STUCK,
    I_WINDOWS_0,
    I_WINDOWS_1,
    KIND_DATA_LOAD,
    KIND_DISPATCH,
    KIND_FETCH,
    KIND_READ,
    KIND_TRANSFER,
    KIND_WEIGHT_LOAD,
    KR_BEGUN,
    KR_PROMISED,
    RC_FETCHED,
    RC_PLACE,
    RC_START,
    RC_STARTED,
    RC_STOPPED,
    RD_END,
    RD_LAST,
    RD_SRC,
    SA_END,
    SA_SRC,
    SA_VALID,
    TL_ROUNDS,
    VC_POSITION,
    VC_SPARE_SRC,
    VC_SRC,
    VC_VALID,
    VC_WAITING,
    XB_READING,
    XB_WAITING,
)  # fmt: skip

__all__ = ["PROMISED", "array_busy", "choose", "controller_moves", "reads_move", "starts_wanted", "sums_move"]

#: Results that may be on their way to buffer 1 though it is full.
PROMISED = 2


@process
def array_busy(s: np.ndarray) -> int:
    """The array is reading, or holds sums."""
    return 1 if s[XB_READING] != 0 or s[XB_WAITING] != 0 else 0


@process
def starts_wanted(s: np.ndarray, ri: np.ndarray) -> int:
    """Receivers that the instruction being issued wants to start, one bit each."""
    if s[RC_FETCHED] == 0 or s[RC_STOPPED] != 0:
        return 0
    i = s[RC_PLACE]
    return ri[i, I_RECEIVERS] & ~s[RC_STARTED] if ri[i, I_KIND] == KIND_TRANSFER else 0


@process
def controller_moves(
    s: np.ndarray, c: np.ndarray, ri: np.ndarray, ready: int, running: int, busy: int, reading: int
) -> int:
    """The controller's cycle; 1 if it changed.

    ready    receivers that let a frame in, if one is started, one bit each
    running  a frame of reads is under way
    busy     the array reads; reading: that, or work on results
    """
    if s[RC_STOPPED] != 0 or c[C_LENGTH] == 0:
        return 0
    if s[RC_FETCHED] == 0:
        s[RC_FETCHED] = 1
        return 1
    i = s[RC_PLACE]
    kind = ri[i, I_KIND]
    done = False
    marks = False
    changed = 0
    if kind == KIND_TRANSFER:
        wanted = ri[i, I_RECEIVERS]
        started = s[RC_STARTED] | (ready & wanted)
        done = started & wanted == wanted
        if started != s[RC_STARTED]:
            changed = 1
        s[RC_STARTED] = 0 if done else started
    elif kind == KIND_READ:
        done = running == 0
        if done:
            s[FR_BOTH] = ri[i, I_BOTH]
            s[FR_WINDOWS_0], s[FR_WINDOWS_1] = ri[i, I_WINDOWS_0], ri[i, I_WINDOWS_1]
            s[FR_FIRST], s[FR_END], s[FR_READS] = ri[i, I_FIRST], ri[i, I_END], ri[i, I_READS]
            s[FR_STUCK] = ri[i, I_STUCK]
            s[EX_SRC] = ri[i, I_SRC]
            s[EX_LEFT] = 3 if ri[i, I_BOTH] else (2 if ri[i, I_SRC] else 1)
            s[EX_CHOSEN] = 0
    elif kind == KIND_WEIGHT_LOAD:
        done = busy == 0
    elif kind == KIND_DATA_LOAD:
        done = reading == 0
    elif kind == KIND_DISPATCH:
        done = True
        marks = True
    elif kind == KIND_FETCH:
        s[RC_STOPPED] = 1
        changed = 1
    if done:
        ends = ri[i, I_EXIT] != 0 or i == c[C_LENGTH] - 1
        s[RC_PLACE] = s[RC_START] if ends else i + 1
        s[RC_FETCHED] = 0
        if marks and not ends:
            s[RC_START] = i + 1
        changed = 1
    return changed


@process
def choose(s: np.ndarray, c: np.ndarray, window_0: int, window_1: int, spare: int) -> int:
    """The buffer whose window the expander offers a read of, or -1 while it offers none."""
    if s[EX_LEFT] == 0 or s[FR_STUCK] != 0:
        return -1
    if s[FR_BOTH] == 0 or s[EX_CHOSEN] != 0:
        return s[EX_SRC]
    if window_1 != 0 and s[EX_LEFT] & 2:
        return 1
    promised = s[KR_PROMISED]
    room = c[C_POOLING] == 0 or promised < PROMISED or (promised == PROMISED and spare != 0)
    return 0 if window_0 != 0 and s[EX_LEFT] & 1 and room else -1


@process
def sums_move(s: np.ndarray, c: np.ndarray, ready: int) -> int:
    """Vectors, shift-and-add and the results of the array move on; 1 if the array's result was taken.

    ready  the arithmetic half takes a vector
    """
    block = s[SA_VALID]
    block_taken = block != 0 and s[VC_WAITING] == 0
    ends = s[TL_ROUNDS] != 0 and s[XB_WAITING] != 0 and (block == 0 or s[VC_WAITING] == 0)
    completes = block_taken and (s[SA_END] != 0 or s[VC_POSITION] == c[C_VECTOR_BLOCKS] - 1)
    if completes:
        s[VC_POSITION] = 0
    elif block_taken:
        s[VC_POSITION] += 1
    if s[VC_VALID] == 0:
        if completes or s[VC_WAITING] != 0:
            s[VC_SRC] = s[VC_SPARE_SRC] if s[VC_WAITING] else s[SA_SRC]
            s[VC_VALID] = 1
            s[VC_WAITING] = 0
    else:
        if completes:
            s[VC_SPARE_SRC] = s[SA_SRC]
            s[VC_WAITING] = 1
        if ready != 0:
            s[VC_VALID] = 0
    if block_taken:
        s[SA_VALID] = 0
    if ends:
        s[SA_VALID] = s[RD_LAST]
        s[SA_END] = s[RD_END]
        s[SA_SRC] = s[RD_SRC]
    return 1 if ends else 0


@process
def reads_move(s: np.ndarray, c: np.ndarray, choice: int, starts: int, ends: int) -> int:
    """Expander, tile controller and array: a read of a window of buffer `choice` starts, a result leaves.

    The bits of what comes of it: 1, the window's last read starts; 2, its first.
    """
    did = 0
    if choice >= 0:
        s[EX_SRC] = choice
        s[EX_CHOSEN] = 1
    if ends:
        s[XB_WAITING] = 0
    if starts:
        mine = s[FR_BOTH] != 0 and choice == 0
        first, end = (0, s[FR_FIRST] - 1) if mine else (s[FR_FIRST], s[FR_END])
        block = first if s[EX_BEGINS] else s[EX_BLOCK]
        last = s[EX_READ] == s[FR_READS] - 1
        last_block = block == end
        s[RD_LAST] = 1 if last else 0
        s[RD_END] = 1 if last and last_block else 0
        s[RD_SRC] = choice
        if s[KR_BEGUN] == 0:
            did = 2
        s[KR_BEGUN] = 0 if last and last_block else 1
        s[EX_READ] = 0 if last else s[EX_READ] + 1
        s[EX_BEGINS] = s[RD_END]
        s[EX_BLOCK] = block + (1 if last else 0)
        if last and last_block:
            did |= 1
            s[EX_CHOSEN] = 0
            w = FR_WINDOWS_1 if choice else FR_WINDOWS_0
            if s[w] == 0:
                s[EX_LEFT] &= ~(1 << choice)
            s[w] -= 1
    if c[C_READ_CYCLES] == 1:
        if starts:
            s[XB_WAITING] = 1
    elif starts:
        s[XB_READING] = c[C_READ_CYCLES] - 1
    elif s[XB_READING] != 0:
        s[XB_READING] -= 1
        if s[XB_READING] == 0:
            s[XB_WAITING] = 1
    s[TL_ROUNDS] += starts - ends
    return did
