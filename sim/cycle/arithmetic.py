"""The arithmetic half: which body runs, its instructions on their way through the lanes, and the sender behind them."""

import numpy as np

from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    A_CHANNELS,
    A_CYCLES,
    A_DES,
    A_FORWARD,
    A_KEEP,
    A_KIND,
    A_LAST,
    A_LATE,
    A_READS,
    A_READS_TOO,
    A_REPEATED,
    A_RESULT,
    A_SIDE,
    A_UNITS,
    A_WINDOW,
    A_WRITES,
    C_LANES,
    C_PER_FLIT,
    C_POOL,
    C_POST,
    C_SECOND,
    C_VECTOR_BLOCKS,
    C_WINDOW_PIXEL,
    CT_FORMAT_POST,
    CT_PAST_BUFFER,
    CT_PAST_FORWARD,
    CT_PAST_RESULT,
    CT_PIXEL,
    CT_PLACE,
    CT_VALID,
    DC_PLACE,
    DC_VALID,
    DES_BUFFER,
    DES_NETWORK,
    DES_NONE,
    IS_CYCLES,
    IS_DES,
    IS_FORWARD,
    IS_KEEP,
    IS_LAST,
    IS_LATE,
    IS_READS,
    IS_READS_TOO,
    IS_RESULT,
    IS_SIDE,
    IS_TAIL,
    IS_UNITS,
    IS_VALID,
    IS_WRITES,
    ISSUE,
    KIND_FORMAT,
    KIND_OPERATION,
    LANES_LEFT,
    NEXT_SIZE,
    NX_LATER,
    NX_PIXEL,
    NX_REST,
    NX_VECTOR,
    OUT,
    P_CHANNELS,
    P_ENABLE,
    P_FIRST,
    P_LAST,
    P_PIXELS,
    P_ROW,
    PB_VALID,
    PL_BEGIN,
    PL_COUNT,
    PL_END,
    PL_HEAD,
    PL_INDEX,
    PL_LAST_PIXEL,
    PL_POOL,
    PL_PROBE,
    PL_TAIL,
    PL_VECTOR,
    PLACE_KEPT,
    PLACE_SIZE,
    SA_END,
    SA_VALID,
    SN_BUSY,
    SN_FILL,
    SN_FLUSH,
    SN_LAST,
    SN_LEFT,
    SN_SPARE,
    SN_VALID,
    SQ_AT,
    SQ_BODY,
    SQ_NEXT,
    SQ_PIXELS,
    SQ_PROBE_DECODED,
    SQ_PROBED,
    SQ_PROBING,
    SQ_RESULT,
    SQ_RUNNING,
    SQ_SKIP,
    SQ_WINDOW,
    STAGE_COUNT,
    STAGE_SIZE,
    STAGES,
    VC_POSITION,
    VC_VALID,
    VC_WAITING,
)  # fmt: skip

__all__ = [
    "CHANGED", "RESULT_TAKEN", "SIDE_TAKEN", "WINDOW_TAKEN", "in_lanes", "lanes_move", "sender_moves", "working",
]  # fmt: skip

#: Pixels for the buffer that may be on their way at once.
PIXELS = 4
#: Bits of what the half did in a cycle.
RESULT_TAKEN, SIDE_TAKEN, WINDOW_TAKEN, CHANGED = 1, 2, 4, 8


@process
def working(s: np.ndarray) -> int:
    """An instruction, or a body, is under way."""
    busy = s[SQ_RUNNING] | s[DC_VALID] | s[CT_VALID] | s[ISSUE + IS_VALID]
    return 1 if busy or in_lanes(s) else 0


@process
def in_lanes(s: np.ndarray) -> bool:
    """An instruction is in a stage, or its result waits."""
    for n in range(STAGE_COUNT + 1):  # noqa: SIM110 - what is compiled has no generators
        if s[STAGES + n * STAGE_SIZE + IS_VALID]:
            return True
    return False


@process
def sender_moves(s: np.ndarray, c: np.ndarray, taken: int) -> int:
    """The sender's cycle, its flit being `taken` or not: 1 if it takes a vector, when there is one; 2 if it changed."""
    per_flit = c[C_PER_FLIT]
    room = s[SN_SPARE] == 0
    busy, last, left, fill = s[SN_BUSY], s[SN_LAST], s[SN_LEFT], s[SN_FILL]
    total = fill + left
    ends = total < 2 * per_flit
    goes = busy != 0 and s[SN_FLUSH] == 0 and ends and room
    ready = busy == 0 or goes
    changed = taken != 0
    flits = s[SN_VALID] + s[SN_SPARE] - (1 if taken else 0)
    if room:
        if s[SN_FLUSH]:
            flits += 1
            s[SN_FLUSH] = s[SN_FILL] = 0
            changed = True
        elif busy:
            changed = True
            full = not ends or total >= per_flit
            flits += 1 if full or last != 0 else 0
            s[SN_LEFT] = left - per_flit
            if ends:
                s[SN_FILL] = total & (per_flit - 1)
                s[SN_FLUSH] = 1 if last != 0 and full and total != per_flit else 0
                if last != 0 and not full:
                    s[SN_FILL] = 0
    s[SN_VALID], s[SN_SPARE] = 1 if flits else 0, 1 if flits == 2 else 0
    if ready:
        offered = s[OUT + IS_VALID] != 0 and s[OUT + IS_DES] == DES_NETWORK
        if offered:
            s[SN_LAST] = s[OUT + IS_LAST]
            s[SN_LEFT] = s[OUT + IS_UNITS]
        if offered or busy:
            changed = True
        s[SN_BUSY] = 1 if offered else 0
    return (1 if ready else 0) | (2 if changed else 0)


@process
def _fetch(
    s: np.ndarray, c: np.ndarray, ready: bool, result: int, source: int, window: int, fetched: np.ndarray
) -> int:
    """Which instruction is fetched, its place to `fetched`; 0 if none is, 1 if it is, 2 with the first of a body."""
    post, pool, second = c[C_POST + P_ENABLE], c[C_POOL + P_ENABLE], c[C_SECOND]
    if s[SQ_PROBING]:
        probes = (post | pool << 1) & ~s[SQ_PROBED]
        s[SQ_PROBED] |= 1 if probes & 1 else 2
        s[SQ_PROBING] = 1 if probes or s[SQ_PROBE_DECODED] else 0
        s[SQ_PROBE_DECODED] = 1 if probes else 0
        if probes == 0:
            return 3
        fetched[:] = 0
        fetched[PL_PROBE] = 1
        fetched[PL_POOL] = 0 if probes & 1 else 1
        k = C_POST if probes & 1 else C_POOL
        fetched[PL_INDEX] = c[k + P_FIRST]
        fetched[PL_END] = 1 if c[k + P_FIRST] == c[k + P_LAST] else 0
        return 1
    if not ready:
        return 0
    if s[SQ_RUNNING]:
        for n in range(PLACE_KEPT):
            fetched[n] = s[SQ_BODY + n]
        k = C_POOL if fetched[PL_POOL] else C_POST
        fetched[PL_INDEX], fetched[PL_PROBE], fetched[PL_BEGIN] = s[SQ_AT], 0, 0
        fetched[PL_END] = 1 if s[SQ_AT] == c[k + P_LAST] else 0
        s[SQ_RUNNING] = 1 - fetched[PL_END]
        s[SQ_AT] += 1
        return 1
    fresh = result != 0 and s[SQ_RESULT] == 0
    # The vector behind the one that a body has been started for.
    more = s[VC_WAITING] != 0
    if s[VC_VALID] != 0 and s[SA_VALID] != 0:
        more = more or s[SA_END] != 0 or s[VC_POSITION] == c[C_VECTOR_BLOCKS] - 1
    behind = more and result != 0 and s[SQ_RESULT] == 1
    x = SQ_NEXT
    starts_post = (
        post != 0
        and ((fresh and not (second != 0 and source != 0)) or (behind and second == 0))
        and (s[x + NX_LATER] != 0 or s[SQ_PIXELS] < PIXELS)
    )
    # Vectors that wait go before a window, if they can.
    first = more and s[SQ_PIXELS] < PIXELS
    waits = fresh and source != 0 if second else window != 0 and s[SQ_WINDOW] == 0 and not first
    starts_pool = pool != 0 and waits
    if not starts_post and not starts_pool:
        return 0
    program = 0 if starts_post else 1
    k = C_POOL if program else C_POST
    x = SQ_NEXT + program * NEXT_SIZE
    lanes = c[C_LANES]
    channels = s[x + NX_REST] if s[x + NX_LATER] else c[k + P_CHANNELS]
    tail = channels < lanes
    last_pixel = s[x + NX_PIXEL] == c[k + P_PIXELS]
    index = c[k + P_FIRST] + (s[SQ_SKIP] >> program & 1)
    fetched[PL_POOL], fetched[PL_VECTOR], fetched[PL_HEAD] = program, s[x + NX_VECTOR], 1 - s[x + NX_LATER]
    fetched[PL_TAIL] = 1 if tail else 0
    fetched[PL_COUNT] = channels if tail else lanes - 1
    fetched[PL_LAST_PIXEL] = 1 if last_pixel else 0
    fetched[PL_INDEX], fetched[PL_PROBE], fetched[PL_BEGIN] = index, 0, 1
    fetched[PL_END] = 1 if index == c[k + P_LAST] else 0
    for n in range(PLACE_KEPT):
        s[SQ_BODY + n] = fetched[n]
    s[SQ_RUNNING] = 1 - fetched[PL_END]
    s[SQ_AT] = index + 1
    if tail:
        s[x + NX_VECTOR] = s[x + NX_LATER] = 0
        s[x + NX_PIXEL] = 0 if last_pixel else s[x + NX_PIXEL] + 1
    else:
        s[x + NX_VECTOR] += 1
        s[x + NX_LATER] = 1
    s[x + NX_REST] = channels - lanes
    if program == 0 or second != 0:
        s[SQ_RESULT] += 1
    elif tail:
        s[SQ_WINDOW] = 1
    return 2


@process
def _waits(s: np.ndarray) -> bool:
    """What is offered to the lanes reads what an instruction before the last stage is still to give."""
    reads, reads_too = s[ISSUE + IS_READS], s[ISSUE + IS_READS_TOO]
    for n in range(STAGE_COUNT - 1):
        stage = STAGES + n * STAGE_SIZE
        if s[stage + IS_VALID]:
            writes = s[stage + IS_WRITES]
            if writes != 0 and writes in (reads, reads_too):
                return True
            late = s[stage + IS_LATE] != 0 and s[stage + IS_KEEP] != 0
            if late and s[ISSUE + IS_FORWARD] != 0:
                return True
    return False


@process
def lanes_move(
    s: np.ndarray, c: np.ndarray, ai: np.ndarray, out_ready: int, result: int, source: int, side: int, window: int,
    pixel_taken: int, fetched: np.ndarray,
) -> int:  # fmt: skip
    """The half's cycle but for the sender, which is `out_ready`: bits of what it did.

    result, source, side, window  a vector of results is there, and of which buffer; one of the side, a window
    pixel_taken  the pixel that it offers is taken
    fetched      room for the place of an instruction
    """
    des = s[OUT + IS_DES]
    landed = s[OUT + IS_VALID] != 0
    moves = not landed or des != DES_NETWORK or out_ready != 0
    done_first = s[LANES_LEFT] == 0
    issued = s[ISSUE + IS_VALID]
    there = (s[ISSUE + IS_RESULT] == 0 or result != 0) and (s[ISSUE + IS_SIDE] == 0 or side != 0)
    free = moves and (s[STAGES + IS_VALID] == 0 or done_first)
    issues = issued != 0 and there and free and not _waits(s)
    result_taken = issues and s[ISSUE + IS_RESULT] == 2
    did = 0
    if issues and s[ISSUE + IS_SIDE] == 2:
        did |= SIDE_TAKEN
    changed = issues or not done_first or pixel_taken != 0 or (moves and in_lanes(s))

    # Pixels for the buffer.
    s[PB_VALID] -= pixel_taken
    if landed and des == DES_BUFFER and s[OUT + IS_TAIL] != 0:
        s[PB_VALID] += 1

    # The lanes.
    if not done_first:
        s[LANES_LEFT] -= 1
    if moves:
        for place in range(OUT + STAGE_SIZE - 1, STAGES + STAGE_SIZE - 1, -1):
            s[place] = s[place - STAGE_SIZE]
        if not done_first:
            s[STAGES + STAGE_SIZE + IS_VALID] = 0
        else:
            s[STAGES + IS_VALID] = 0
    if issues:
        if s[ISSUE + IS_KEEP]:
            # FORWARD is to be what it gives, not what comes later of one before it.
            for n in range(1, STAGE_COUNT):
                s[STAGES + n * STAGE_SIZE + IS_KEEP] = 0
        for n in range(STAGE_SIZE):
            s[STAGES + n] = s[ISSUE + n]
        s[LANES_LEFT] = s[ISSUE + IS_CYCLES] - 1

    # The instruction that is executed.
    done = False
    dropped = False
    takes_window = False
    issue_free = issued == 0 or issues
    go = False
    execute = False
    executing = s[CT_VALID]
    if executing:
        p = CT_PLACE
        i, in_pool, probe = s[p + PL_INDEX], s[p + PL_POOL], s[p + PL_PROBE]
        kind = ai[i, A_KIND]
        begin = s[p + PL_BEGIN] != 0
        past_result = 0 if begin else s[CT_PAST_RESULT]
        past_buffer = 0 if begin else s[CT_PAST_BUFFER]
        past_forward = 0 if begin else s[CT_PAST_FORWARD]
        last_pixel = s[p + PL_LAST_PIXEL] != 0
        execute = kind == KIND_OPERATION and probe == 0 and (ai[i, A_LAST] == 0 or last_pixel)
        names_window = ai[i, A_WINDOW] != 0
        go = not execute or (issue_free and (not names_window or window != 0))
        repeated = ai[i, A_REPEATED]
        final = not execute or repeated == 0 or s[CT_PIXEL] == c[C_WINDOW_PIXEL]
        done = go and final
        if go:
            changed = True
            kept = s[CT_PIXEL] != 0 if repeated else past_forward != 0
            s[CT_PIXEL] = 0 if final else s[CT_PIXEL] + 1
            if execute:
                past_forward |= ai[i, A_KEEP] | repeated
                past_result |= ai[i, A_RESULT]
                past_buffer |= 1 if ai[i, A_DES] == DES_BUFFER else 0
                # What goes out: as many of the vector's lanes as hold channels that are sent.
                form = s[CT_FORMAT_POST + in_pool] - 1
                k = C_POOL if in_pool else C_POST
                channels = ai[form, A_CHANNELS] if form >= 0 else c[k + P_CHANNELS]
                units = ai[form, A_UNITS] if form >= 0 else ai[i, A_UNITS]
                lanes = c[C_LANES]
                rest = channels - s[p + PL_VECTOR] * lanes
                to = ai[i, A_DES] if final else DES_NONE
                if rest < 0 and to == DES_NETWORK:
                    to = DES_NONE
                s[ISSUE + IS_DES] = to
                s[ISSUE + IS_TAIL] = s[p + PL_TAIL]
                s[ISSUE + IS_UNITS] = (min(rest, lanes - 1) + 1) * units
                s[ISSUE + IS_LAST] = 1 if last_pixel and rest < lanes else 0
                s[ISSUE + IS_RESULT] = ai[i, A_RESULT] * (2 if final else 1)
                s[ISSUE + IS_SIDE] = ai[i, A_SIDE] * (2 if final else 1)
                s[ISSUE + IS_CYCLES] = ai[i, A_CYCLES]
                s[ISSUE + IS_KEEP] = ai[i, A_KEEP] | repeated
                s[ISSUE + IS_LATE] = ai[i, A_LATE]
                s[ISSUE + IS_FORWARD] = 1 if kept and ai[i, A_FORWARD] != 0 else 0
                row = 4 * (c[k + P_ROW] + s[p + PL_VECTOR])
                reads, reads_too, writes = ai[i, A_READS], ai[i, A_READS_TOO], ai[i, A_WRITES]
                s[ISSUE + IS_READS] = row + reads if reads else 0
                s[ISSUE + IS_READS_TOO] = row + reads_too if reads_too else 0
                s[ISSUE + IS_WRITES] = row + writes if writes != 0 and final else 0
        if done:
            if kind == KIND_FORMAT:
                s[CT_FORMAT_POST + in_pool] = i + 1
                if probe != 0 and s[p + PL_END] == 0:
                    s[SQ_SKIP] |= 1 << in_pool
            s[CT_PAST_RESULT], s[CT_PAST_BUFFER] = past_result, past_buffer
            takes_window = execute and names_window and in_pool == 0 and s[p + PL_TAIL] != 0
            s[CT_PAST_FORWARD] = past_forward
            if s[p + PL_END] != 0 and probe == 0:
                second = c[C_SECOND]
                if (in_pool == 0 or second != 0) and past_result == 0:
                    result_taken = True
                if s[p + PL_TAIL]:
                    takes_window = takes_window or (in_pool != 0 and second == 0)
                    dropped = in_pool == 0 and past_buffer == 0
    if issue_free:
        s[ISSUE + IS_VALID] = 1 if go and execute else 0
    decoding = s[DC_VALID]
    fetches = decoding == 0 or executing == 0 or done
    if done:
        s[CT_VALID] = 0
    if decoding != 0 and fetches:
        changed = True
        s[DC_VALID] = 0
        s[CT_VALID] = 1
        for n in range(PLACE_SIZE):
            s[CT_PLACE + n] = s[DC_PLACE + n]

    # The next one is fetched.
    head = _fetch(s, c, fetches, result, source, window, fetched)
    if head:
        changed = True
        if head != 3:
            s[DC_VALID] = 1
            for n in range(PLACE_SIZE):
                s[DC_PLACE + n] = fetched[n]
    if result_taken:
        s[SQ_RESULT] -= 1
        did |= RESULT_TAKEN
    if takes_window:
        s[SQ_WINDOW] = 0
        did |= WINDOW_TAKEN
    if head == 2 and fetched[PL_POOL] == 0 and fetched[PL_HEAD] != 0:
        s[SQ_PIXELS] += 1
    s[SQ_PIXELS] -= pixel_taken + (1 if dropped else 0)
    return did | (CHANGED if changed else 0)
