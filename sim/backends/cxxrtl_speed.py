"""CXXRTL's header and its output, changed where they take long without need; the results are the same."""

import re

__all__ = ["RUNTIME", "fast_header", "guard_writes"]

#: Path of the header below the folder of CXXRTL's headers.
RUNTIME = "cxxrtl/cxxrtl.h"

_COMPARE = "\tbool operator ==(const value<Bits> &other) const {\n"
_FAST_COMPARE = "\t\tif (chunks > 2)\n\t\t\treturn __builtin_memcmp(data, other.data, sizeof(data)) == 0;\n"

_EXPRESSIONS = "@EXPRESSIONS@"
_WHOLE = "static_cast<const value<T::bits> &>"
_SLICES = "// Expression template for a slice,"
#: Words of the header, and what takes their place.
_PARTS = {
    _SLICES: f"{_EXPRESSIONS}{_SLICES}",
    f"return {_WHOLE}(expr)\n"
    "\t\t\t.template rtrunc<T::bits - Start>()\n"
    "\t\t\t.template trunc<bits>();": f"return read_part<Stop, Start>({_WHOLE}(expr));",
    f"expr = {_WHOLE}(expr)\n\t\t\t.template blit<Stop, Start>(rhs);": "write_part<Stop, Start>(expr, rhs);",
    f"value<bits> ms_shifted = {_WHOLE}(ms_expr)\n"
    "\t\t\t.template rzext<bits>();\n"
    "\t\tvalue<bits> ls_extended = static_cast<const value<U::bits> &>(ls_expr)\n"
    "\t\t\t.template zext<bits>();\n"
    "\t\treturn ms_shifted.bit_or(ls_extended);": "value<bits> whole;\n\t\tgather<0>(*this, whole);\n\t\treturn whole;",
}

_PIECE = r"(?:\.slice<\d+(?:,\d+)?>\(\))?(?:\.val\(\))?(?:\.repeat<\d+>\(\))?"
_WRITE = re.compile(
    r"if \((?P<index>tmp_\d+)\.valid\) \{\n(?P<update>\t+memory_\w+\.update\((?P=index)\.index, .*, "
    rf"(?P<enable>\w+(?:\.curr)?){_PIECE}(?:\.concat\((?P=enable){_PIECE}\))*(?:\.val\(\))?, \d+\);\n)"
)


def fast_header(header: str, expressions: str) -> str:
    """The header, with comparisons and parts of values that take no longer than they have to.

    `commit` compares every register with its next value. A loop that is left at the first difference is not
    vectorised, and a window of thousands of bits mostly is the same. What a header words differently is kept.

    header       CXXRTL's own
    expressions  templates/expressions.h, which says what it is for
    """
    if all(old in header for old in _PARTS):
        for old, new in _PARTS.items():
            header = header.replace(old, new.replace(_EXPRESSIONS, expressions))
    return header.replace(_COMPARE, _COMPARE + _FAST_COMPARE)


def guard_writes(source: str) -> str:
    """A part's source, with memories left alone by write ports of which no enable is set.

    CXXRTL makes address, data and mask of each port in every cycle, bit by bit, and queues a write of nothing. If the
    mask is made of copies of bits of one value, a value of zero writes nothing.
    """
    return _WRITE.sub(r"if (\g<index>.valid && !\g<enable>.is_zero()) {\n\g<update>", source)
