"""Places of the model's registers and settings in the rows of its arrays.

A row of integers for each PE, and one for each node of the trees: numbers of places are constants to numba.
"""

__all__: list[str] = []

# Switch of a PE: bit n is output n of `SwitchOutput`.
(SW_OFFERED, SW_SWITCH, SW_SPARE, SW_LOAD, SW_TAKEN) = range(5)
(AWAKE, CORE_TAKEN) = range(5, 7)

# Controller of the ReRAM half.
(RC_PLACE, RC_START, RC_FETCHED, RC_STOPPED, RC_STARTED) = range(10, 15)
# Expander: the frame under way, and where it is in it.
(
    EX_SRC, EX_CHOSEN, EX_LEFT, EX_BEGINS, EX_BLOCK, EX_READ,
    FR_BOTH, FR_WINDOWS_0, FR_WINDOWS_1, FR_FIRST, FR_END, FR_READS, FR_STUCK,
) = range(15, 28)  # fmt: skip
(KR_PROMISED, KR_BEGUN) = range(28, 30)
# Tile controller, array, and the read that is in it.
(TL_ROUNDS, XB_READING, XB_WAITING, RD_LAST, RD_END, RD_SRC) = range(30, 36)
(SA_VALID, SA_END, SA_SRC) = range(36, 39)
(VC_POSITION, VC_VALID, VC_WAITING, VC_SRC, VC_SPARE_SRC) = range(39, 44)

# Sequencer: claimed results, claimed window, pixels on their way, and the body that is fetched.
(SQ_RESULT, SQ_WINDOW, SQ_PIXELS, SQ_RUNNING, SQ_AT, SQ_PROBED, SQ_PROBING, SQ_SKIP) = range(50, 58)
# Of each program: vector, channels left, pixel, whether not the first vector. Those of `pool` follow those of `post`.
SQ_NEXT = 58
(NX_VECTOR, NX_REST, NX_PIXEL, NX_LATER, NEXT_SIZE) = range(5)
# The place of the body being fetched, and of the instruction being executed.
SQ_BODY, CT_PLACE = 70, 80
(PL_POOL, PL_VECTOR, PL_HEAD, PL_TAIL, PL_COUNT, PL_LAST_PIXEL, PL_INDEX, PL_PROBE, PL_BEGIN, PL_END) = range(
    10
)
PLACE_KEPT, PLACE_SIZE = 6, 10
(CT_VALID, CT_PIXEL, CT_PAST_RESULT, CT_PAST_BUFFER, CT_FORMAT_POST, CT_FORMAT_POOL) = range(90, 96)
(CT_PAST_FORWARD, DC_VALID, SQ_PROBE_DECODED) = range(96, 99)
# What is offered to the lanes; a stage of the lanes holds the first fields of it.
ISSUE = 100
(
    IS_VALID, IS_DES, IS_TAIL, IS_UNITS, IS_LAST, IS_KEEP, IS_LATE, IS_WRITES, STAGE_SIZE,
) = range(9)  # fmt: skip
(IS_RESULT, IS_SIDE, IS_CYCLES, IS_FORWARD, IS_READS, IS_READS_TOO) = range(8, 14)
(LANES_LEFT, PB_VALID, SP_PIXEL) = range(114, 117)
(SN_BUSY, SN_LAST, SN_LEFT, SN_FILL, SN_FLUSH, SN_VALID, SN_SPARE) = range(123, 130)

# Receivers of buffer 0, of buffer 1, and of the arithmetic half.
MAIN, SHORTCUT, SIDE = 130, 140, 150
(RV_RUNNING, RV_PHASE, RV_AT, RV_PIXEL, RV_LANE, RV_OFFSET, RV_VALID) = range(7)
(SD_RUNNING, SD_PHASE, SD_HAVE, SD_USED, SD_VECTOR, SD_PIXEL, SD_FULL, SD_VALID) = range(8)
(SPREAD_X, SPREAD_Y, SPREAD_SINCE_X, SPREAD_SINCE_Y, SPREAD_PASSED_X, SPREAD_PASSED_Y) = range(160, 166)

# Convolution buffers: writer, reader, column out of the memories, column before the window, window.
BUFFER_0, BUFFER_1 = 170, 190
(
    WR_ROW, WR_COLUMN, WR_LINE, WR_LAYER, RE_TOP, RE_X, RE_FILLED, RE_WINDOW_X, RE_WINDOW_Y, RE_FRESH, RE_LAYER,
    CO_VALID, CO_LAST, CO_STORE, CL_VALID, CL_LAST, CL_STORE, WN_VALID,
) = range(18)  # fmt: skip

# Switch: outputs that each input goes to at the moment, flits of each output's present turn, outputs in their second.
SW_WANTED, SW_COUNT, SW_LATER = 210, 216, 224
# Flits over the links of a PE, in the order of `activity.LINKS`.
SW_FLITS = 225

# The place of the instruction being decoded; the stages of the lanes, and what waits behind them.
DC_PLACE, STAGES, STAGE_COUNT = 231, 241, 3
OUT = STAGES + STAGE_COUNT * STAGE_SIZE

PE_STATE = OUT + STAGE_SIZE

# Settings of a PE.
(C_LENGTH, C_WINDOWS_0, C_WINDOWS_1, C_IN_PLACE, C_POOLING, C_SECOND, C_READ_CYCLES, C_VECTOR_BLOCKS) = range(
    8
)
(C_LANES, C_PER_FLIT, C_ROW_LANES, C_INDEX_COUNT, C_SIGNS, C_WINDOW_PIXEL, C_SPLIT_LAST) = range(8, 15)
# Of each program: enabled, its place in the table, pixels, channels.
C_POST, C_POOL = 20, 26
(P_ENABLE, P_FIRST, P_LAST, P_PIXELS, P_CHANNELS, P_ROW) = range(6)
C_MAIN, C_SHORTCUT, C_SIDE, C_SPREAD = 32, 40, 48, 60
(R_FLIT_LAST, R_LAST_LANE, R_BEFORE, R_LAST_TAKEN, R_AFTER, R_LAST_PIXEL) = range(6)
(S_BEFORE, S_AFTER, S_UNITS, S_LAST_UNITS, S_LAST_VECTOR, S_LAST_PIXEL) = range(6)
(X_SPREAD, X_TOP, X_LEFT, X_GAP_Y, X_GAP_X, X_END_Y, X_END_X, X_LAST_Y, X_LAST_X) = range(9)
C_BUFFER_0, C_BUFFER_1 = 70, 90
(
    B_KERNEL, B_PAD, B_STRIDE, B_SKIP, B_FIRST_ROWS, B_FIRST_COLUMNS, B_NEXT_COLUMNS, B_SLOTS, B_WIDTH, B_HEIGHT,
    B_LAST_X, B_LAST_Y, B_STORES,
) = range(13)  # fmt: skip
# Whose output and which bit each input of the switch comes from.
C_FROM, C_BIT = 110, 116
# Outputs that take turns; the input of each output's first and second turn, and their flits.
C_TURNS, C_INPUTS, C_FLITS = 122, 123, 139
PE_CONFIG = 155

# An instruction of the ReRAM half.
(
    I_KIND, I_RECEIVERS, I_EXIT, I_SRC, I_BOTH, I_WINDOWS_0, I_WINDOWS_1, I_FIRST, I_END, I_READS, I_STUCK, RERAM_SIZE,
) = range(12)  # fmt: skip
(KIND_TRANSFER, KIND_READ, KIND_WEIGHT_LOAD, KIND_DATA_LOAD, KIND_DISPATCH, KIND_FETCH) = range(6)
# An instruction of the arithmetic half: an operation, a format (N-type), or nothing (C-type).
# `A_FORWARD` it reads FORWARD, `A_KEEP` leaves it, `A_LATE` from the last stage; registers are numbered from 1 on.
(
    A_KIND, A_CYCLES, A_RESULT, A_SIDE, A_WINDOW, A_DES, A_REPEATED, A_LAST, A_UNITS, A_CHANNELS, A_FORWARD, A_KEEP,
    A_LATE, A_READS, A_READS_TOO, A_WRITES, ARITHMETIC_SIZE,
) = range(17)  # fmt: skip
(KIND_OPERATION, KIND_FORMAT, KIND_NOTHING) = range(3)
(DES_NONE, DES_NETWORK, DES_BUFFER) = range(3)

# Nodes of the trees: registers of the distribution, bit n for child n, and of the collection.
(
    N_OFFERED,
    N_SWITCH,
    N_TAKEN,
    N_UP_OFFERED,
    N_UP_SWITCH,
    N_UP_TAKEN,
    N_SELECT,
    N_COUNT,
    N_CHILDREN,
    N_DEALT,
    N_FLITS,
    N_UP_FLITS,
) = range(12)
NODE_STATE = 12
# Settings: length of each child's turn, the parent's row and the place in it, rows of the children, whether they
# are PEs, length of each child's turn of the distribution, number of the entry above the node or -1, and rows of the
# children whose branches are collected from: those of the others leave into frame buffers.
(M_TURN, M_PARENT, M_CHILD, M_FIRST, M_LEAF, M_DEAL, M_ENTRY, M_COLLECTS) = (0, 4, 5, 6, 10, 11, 15, 16)
NODE_CONFIG = 20
