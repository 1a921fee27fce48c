"""Convolution buffers: when a pixel is taken, and when a window is there."""

import numpy as np

from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    B_FIRST_COLUMNS,
    B_FIRST_ROWS,
    B_HEIGHT,
    B_KERNEL,
    B_LAST_X,
    B_LAST_Y,
    B_NEXT_COLUMNS,
    B_PAD,
    B_SKIP,
    B_SLOTS,
    B_STORES,
    B_STRIDE,
    B_WIDTH,
    BUFFER_0,
    BUFFER_1,
    C_BUFFER_0,
    C_BUFFER_1,
    C_IN_PLACE,
    CL_LAST,
    CL_STORE,
    CL_VALID,
    CO_LAST,
    CO_STORE,
    CO_VALID,
    RE_FILLED,
    RE_FRESH,
    RE_LAYER,
    RE_TOP,
    RE_WINDOW_X,
    RE_WINDOW_Y,
    RE_X,
    WN_VALID,
    WR_COLUMN,
    WR_LAYER,
    WR_LINE,
    WR_ROW,
)  # fmt: skip

__all__ = ["buffer_moves", "rows_left"]


@process
def rows_left(s: np.ndarray, c: np.ndarray, b: int) -> int:
    """Rows that buffer `b` has slots for, from the one being written on; a pixel is taken while there is one."""
    r = BUFFER_1 if b else BUFFER_0
    k = C_BUFFER_1 if b or (c[C_IN_PLACE] and s[r + RE_LAYER]) else C_BUFFER_0
    return max(s[r + RE_TOP] - c[k + B_PAD], 0) + c[k + B_SLOTS] - s[r + WR_ROW]


@process
def buffer_moves(s: np.ndarray, c: np.ndarray, b: int, pixel: int, ready: int) -> int:
    """A cycle of buffer `b`: a `pixel` is written, the window is taken if there is one (`ready`); 1 if it changed.

    In place the images alternate between the settings of both buffers; writer and reader change over on their own.
    """
    r = BUFFER_1 if b else BUFFER_0
    alternates = b == 0 and c[C_IN_PLACE] != 0
    k = C_BUFFER_1 if b or (alternates and s[r + RE_LAYER]) else C_BUFFER_0
    if c[k + B_KERNEL] == 0:
        return 0
    row, column = s[r + WR_ROW], s[r + WR_COLUMN]
    changed = pixel

    # The window takes a column, the one out of the memories follows it, the reader reads another.
    window, offered, held = s[r + WN_VALID], s[r + CO_VALID], s[r + CL_VALID]
    free = window == 0
    store = held != 0 and s[r + CL_STORE] != 0
    shift = held != 0 and not store and free
    column_taken = held == 0 or free or store
    if shift:
        s[r + WN_VALID] = s[r + CL_LAST]
        changed = 1
    elif ready != 0 and window != 0:
        s[r + WN_VALID] = 0
        changed = 1
    if column_taken and (held | offered) != 0:
        s[r + CL_VALID] = offered
        s[r + CL_LAST] = s[r + CO_LAST]
        s[r + CL_STORE] = s[r + CO_STORE]
        changed = 1

    top, x = s[r + RE_TOP], s[r + RE_X]
    next_frame = False
    issue = False
    if offered == 0 or column_taken:
        reach = top + c[k + B_FIRST_ROWS] - 1
        bottom = reach if reach < c[k + B_HEIGHT] else c[k + B_HEIGHT] - 1
        inside = x < c[k + B_WIDTH]
        issue = not inside or row > bottom or (row == bottom and x < column)
    if issue:
        changed = 1
        fresh, filled = s[r + RE_FRESH], s[r + RE_FILLED]
        ends = filled + 1 == (c[k + B_FIRST_COLUMNS] if fresh else c[k + B_NEXT_COLUMNS])
        row_ends = ends and s[r + RE_WINDOW_X] == c[k + B_LAST_X]
        next_frame = row_ends and s[r + RE_WINDOW_Y] == c[k + B_LAST_Y]
        s[r + CO_VALID] = 1
        s[r + CO_LAST] = 1 if ends else 0
        s[r + CO_STORE] = 1 if fresh and filled == 0 and c[k + B_STORES] else 0
        s[r + RE_X] = x + 1
        s[r + RE_FILLED] = filled + 1
        if ends:
            s[r + RE_X] = x + 1 + c[k + B_SKIP]
            s[r + RE_FILLED] = 0
            s[r + RE_FRESH] = 0
            s[r + RE_WINDOW_X] += 1
        if row_ends:
            s[r + RE_X] = 0
            s[r + RE_FRESH] = 1
            s[r + RE_WINDOW_X] = 0
            s[r + RE_WINDOW_Y] = 0 if next_frame else s[r + RE_WINDOW_Y] + 1
            s[r + RE_TOP] = 0 if next_frame else top + c[k + B_STRIDE]
    elif column_taken:
        s[r + CO_VALID] = 0

    if pixel:
        w = C_BUFFER_1 if b or (alternates and s[r + WR_LAYER]) else C_BUFFER_0
        s[r + WR_COLUMN] = column + 1
        if column + 1 == c[w + B_WIDTH]:
            s[r + WR_COLUMN] = 0
            row += 1
            if alternates:
                s[r + WR_LINE] += 1
                if s[r + WR_LINE] == c[w + B_HEIGHT]:
                    s[r + WR_LINE] = 0
                    s[r + WR_LAYER] ^= 1
    s[r + WR_ROW] = row - (c[k + B_HEIGHT] if next_frame else 0)
    if next_frame and alternates:
        s[r + RE_LAYER] ^= 1
    return changed
