"""CXXRTL's header and its output, changed where they take long without need; the results are the same."""

import re

__all__ = ["RUNTIME", "fast_compare", "guard_writes"]

#: Path of the header below the folder of CXXRTL's headers.
RUNTIME = "cxxrtl/cxxrtl.h"

_COMPARE = "\tbool operator ==(const value<Bits> &other) const {\n"

_PIECE = r"(?:\.slice<\d+(?:,\d+)?>\(\))?(?:\.val\(\))?(?:\.repeat<\d+>\(\))?"
_WRITE = re.compile(
    r"if \((?P<index>tmp_\d+)\.valid\) \{\n(?P<update>\t+memory_\w+\.update\((?P=index)\.index, .*, "
    rf"(?P<enable>\w+(?:\.curr)?){_PIECE}(?:\.concat\((?P=enable){_PIECE}\))*(?:\.val\(\))?, \d+\);\n)"
)


def fast_compare(header: str) -> str:
    """The header, with values of more than two words compared by `memcmp`.

    `commit` compares every register with its next value. A loop that is left at the first difference is not
    vectorised, and a window of thousands of bits mostly is the same. A header that words it differently is kept.
    """
    compare = "\t\tif (chunks > 2)\n\t\t\treturn __builtin_memcmp(data, other.data, sizeof(data)) == 0;\n"
    return header.replace(_COMPARE, _COMPARE + compare)


def guard_writes(source: str) -> str:
    """A part's source, with memories left alone by write ports of which no enable is set.

    CXXRTL makes address, data and mask of each port in every cycle, bit by bit, and queues a write of nothing. If the
    mask is made of copies of bits of one value, a value of zero writes nothing.
    """
    return _WRITE.sub(r"if (\g<index>.valid && !\g<enable>.is_zero()) {\n\g<update>", source)
