"""What takes flits in: receivers of pixels, the side receiver, the spreader behind the first of them."""

import numpy as np

from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    C_PER_FLIT,
    C_SIDE,
    C_SPREAD,
    R_AFTER,
    R_BEFORE,
    R_FLIT_LAST,
    R_LAST_LANE,
    R_LAST_PIXEL,
    R_LAST_TAKEN,
    RV_AT,
    RV_LANE,
    RV_OFFSET,
    RV_PHASE,
    RV_PIXEL,
    RV_RUNNING,
    RV_VALID,
    S_AFTER,
    S_BEFORE,
    S_LAST_PIXEL,
    S_LAST_UNITS,
    S_LAST_VECTOR,
    S_UNITS,
    SD_FULL,
    SD_HAVE,
    SD_PHASE,
    SD_PIXEL,
    SD_RUNNING,
    SD_USED,
    SD_VALID,
    SD_VECTOR,
    SIDE,
    SPREAD_PASSED_X,
    SPREAD_PASSED_Y,
    SPREAD_SINCE_X,
    SPREAD_SINCE_Y,
    SPREAD_X,
    SPREAD_Y,
    X_END_X,
    X_END_Y,
    X_GAP_X,
    X_GAP_Y,
    X_LAST_X,
    X_LAST_Y,
    X_LEFT,
    X_SPREAD,
    X_TOP,
)  # fmt: skip

__all__ = ["FLIT_TAKEN", "MOVED", "START_READY", "receive", "receive_side", "spread_moves", "spread_word"]

BEFORE, TAKE, AFTER = 0, 1, 2
#: Bits of what a receiver did in a cycle: it took a flit; it let a frame in, if one was to start; something changed.
FLIT_TAKEN, START_READY, MOVED = 1, 2, 4


@process
def receive(s: np.ndarray, c: np.ndarray, r: int, k: int, flit: int, ready: int, start: int) -> int:
    """A receiver's cycle (registers from `r`, settings from `k` on): bits of what it did.

    flit   one is there
    ready  its word is taken
    start  a frame is to be let in
    """
    running, phase = s[r + RV_RUNNING], s[r + RV_PHASE]
    room = s[r + RV_VALID] == 0 or ready != 0
    before = c[k + R_BEFORE]
    taking = phase == TAKE or (phase == BEFORE and before == 0)
    did = 0
    if s[r + RV_VALID] != 0 and ready != 0:
        s[r + RV_VALID] = 0
        did = MOVED
    frame_done = False
    advance = running != 0 and (room or not taking) and flit != 0
    if advance:
        flit_last = c[k + R_FLIT_LAST]
        lane, at = s[r + RV_LANE], s[r + RV_AT]
        in_flit = flit_last - s[r + RV_OFFSET]
        if taking:
            in_phase = c[k + R_LAST_TAKEN] - at
            in_word = c[k + R_LAST_LANE] - lane
            moved = min(min(in_flit, ~lane & flit_last), min(in_word, in_phase))
        else:
            in_phase = (c[k + R_AFTER] if phase == AFTER else before) - 1 - at
            in_word = -1
            moved = min(in_flit, in_phase)
        phase_done = in_phase == moved
        pixel_done = phase_done and (phase == AFTER or (taking and c[k + R_AFTER] == 0))
        frame_done = pixel_done and s[r + RV_PIXEL] == c[k + R_LAST_PIXEL]
        flit_done = in_flit == moved or frame_done
        did = MOVED | (FLIT_TAKEN if flit_done else 0)
        s[r + RV_OFFSET] = 0 if flit_done else s[r + RV_OFFSET] + moved + 1
        s[r + RV_AT] = at + moved + 1
        if phase_done:
            s[r + RV_AT] = 0
            s[r + RV_PHASE] = AFTER if taking else TAKE
        if pixel_done:
            s[r + RV_PHASE] = BEFORE
            s[r + RV_PIXEL] = 0 if frame_done else s[r + RV_PIXEL] + 1
        if taking:
            s[r + RV_LANE] = lane + moved + 1
            if phase_done or in_word == moved:
                s[r + RV_LANE] = 0
                s[r + RV_VALID] = 1
    if running == 0 or frame_done:
        did |= START_READY
        if running != start:
            did |= MOVED
        s[r + RV_RUNNING] = start
    return did


@process
def receive_side(s: np.ndarray, c: np.ndarray, flit: int, ready: int, start: int) -> int:
    """The side receiver's cycle, as `receive`; units are parts of a flit of 4 bits."""
    running, phase = s[SIDE + SD_RUNNING], s[SIDE + SD_PHASE]
    full, offers = s[SIDE + SD_FULL], s[SIDE + SD_VALID]
    before, after = c[C_SIDE + S_BEFORE], c[C_SIDE + S_AFTER]
    # A complete vector goes to the lanes as soon as the one before it is taken.
    cut = full != 0 and (offers == 0 or ready != 0)
    room = full == 0 or offers == 0 or ready != 0
    taking = phase == TAKE or (phase == BEFORE and before == 0)
    did = 0
    if cut or (offers != 0 and ready != 0):
        did = MOVED
    s[SIDE + SD_VALID] = 1 if cut or (offers != 0 and ready == 0) else 0
    if room:
        s[SIDE + SD_FULL] = 0
    frame_done = False
    if running != 0 and (room or not taking) and flit != 0:
        vector, last_vector = s[SIDE + SD_VECTOR], c[C_SIDE + S_LAST_VECTOR]
        is_last = vector == last_vector
        if taking:
            size = c[C_SIDE + S_LAST_UNITS] if is_last else c[C_SIDE + S_UNITS]
        else:
            size = after if phase == AFTER else before
        left = size - s[SIDE + SD_HAVE]
        next_last = last_vector == 0 if is_last else vector + 1 == last_vector
        following = c[C_SIDE + S_LAST_UNITS] if next_last else c[C_SIDE + S_UNITS]
        come = c[C_PER_FLIT] - s[SIDE + SD_USED]
        ends = left <= come
        over = come - left
        pixel_done = ends and (phase == AFTER or (taking and is_last and after == 0))
        frame_done = pixel_done and s[SIDE + SD_PIXEL] == c[C_SIDE + S_LAST_PIXEL]
        adjoining = taking and (not is_last or (before == 0 and after == 0))
        merge = ends and over != 0 and adjoining and following > over
        flit_done = not ends or over == 0 or frame_done or merge
        did = MOVED | (FLIT_TAKEN if flit_done else 0)
        s[SIDE + SD_USED] = 0 if flit_done else s[SIDE + SD_USED] + left
        s[SIDE + SD_HAVE] = 0 if ends else s[SIDE + SD_HAVE] + come
        if ends:
            if taking:
                s[SIDE + SD_FULL] = 1
                s[SIDE + SD_VECTOR] = 0 if is_last else vector + 1
                s[SIDE + SD_HAVE] = over if merge and not frame_done else 0
            s[SIDE + SD_PHASE] = AFTER if taking and is_last else TAKE
        if pixel_done:
            s[SIDE + SD_PHASE] = BEFORE
            s[SIDE + SD_PIXEL] = 0 if frame_done else s[SIDE + SD_PIXEL] + 1
    if running == 0 or frame_done:
        did |= START_READY
        if running != start:
            did |= MOVED
        s[SIDE + SD_RUNNING] = start
    return did


@process
def spread_word(s: np.ndarray, c: np.ndarray) -> int:
    """Whether the spreader has a word's place before it, and not that of a fill word."""
    if c[C_SPREAD + X_SPREAD] == 0:
        return 1
    left = c[C_SPREAD + X_GAP_X] if s[SPREAD_PASSED_X] else c[C_SPREAD + X_LEFT]
    top = c[C_SPREAD + X_GAP_Y] if s[SPREAD_PASSED_Y] else c[C_SPREAD + X_TOP]
    word_x = s[SPREAD_SINCE_X] == left and s[SPREAD_X] <= c[C_SPREAD + X_END_X]
    word_y = s[SPREAD_SINCE_Y] == top and s[SPREAD_Y] <= c[C_SPREAD + X_END_Y]
    return 1 if word_x and word_y else 0


@process
def spread_moves(s: np.ndarray, c: np.ndarray) -> None:
    """The spreader goes on to the next place of its map."""
    if c[C_SPREAD + X_SPREAD] == 0:
        return
    left = c[C_SPREAD + X_GAP_X] if s[SPREAD_PASSED_X] else c[C_SPREAD + X_LEFT]
    top = c[C_SPREAD + X_GAP_Y] if s[SPREAD_PASSED_Y] else c[C_SPREAD + X_TOP]
    word_x = s[SPREAD_SINCE_X] == left and s[SPREAD_X] <= c[C_SPREAD + X_END_X]
    word_y = s[SPREAD_SINCE_Y] == top and s[SPREAD_Y] <= c[C_SPREAD + X_END_Y]
    s[SPREAD_SINCE_X] = 0 if word_x else s[SPREAD_SINCE_X] + 1
    if word_x:
        s[SPREAD_PASSED_X] = 1
    if s[SPREAD_X] != c[C_SPREAD + X_LAST_X]:
        s[SPREAD_X] += 1
        return
    s[SPREAD_X] = s[SPREAD_SINCE_X] = s[SPREAD_PASSED_X] = 0
    s[SPREAD_SINCE_Y] = 0 if word_y else s[SPREAD_SINCE_Y] + 1
    if word_y:
        s[SPREAD_PASSED_Y] = 1
    if s[SPREAD_Y] == c[C_SPREAD + X_LAST_Y]:
        s[SPREAD_Y] = s[SPREAD_SINCE_Y] = s[SPREAD_PASSED_Y] = 0
    else:
        s[SPREAD_Y] += 1
