"""What Yosys is told: from RTLIL to gates, which depends on no library, and from gates to cells."""

from collections.abc import Iterable

from ohmweave.sim.synthesis.parts import MEMORY_MACRO

__all__ = ["CELLS_FILE", "GATES_FILE", "LIBRARY_FILE", "SOURCE_FILE", "cells_script", "gates_script"]

SOURCE_FILE, GATES_FILE, CELLS_FILE, LIBRARY_FILE = "source.il", "gates.il", "cells.json", "cells.lib"

# Carries as Brent-Kung trees ($alu's default), products of partial products and one such adder ($macc).
_GATES = f"""read_rtlil {SOURCE_FILE}
proc
opt_expr
opt_clean
opt
wreduce
peepopt
opt_clean
alumacc
opt
memory_collect
opt_clean
memory_map t:$mem_v2 a:{MEMORY_MACRO} %d
opt -undriven -fine
techmap
opt -fast
opt_clean -purge
setattr -unset src
write_rtlil {GATES_FILE}
"""

# Choices (dch) make the cells an eighth smaller and faster by as much, and take memory and time that grow faster than
# the module does. `map` is for speed, with the area back where there is time to spare; it knows no loads, so trees of
# buffers and sizes come last.
_SMALL = "+strash;dch;map,-B,0.9;topo;buffer,-c;topo;upsize;dnsize"
_LARGE = "+strash;balance;map,-B,0.9;topo;buffer,-c;topo;upsize;dnsize"


def gates_script() -> str:
    """From RTLIL to gates, flip-flops and the memories that stay."""
    return _GATES


def cells_script(small: Iterable[str], large: Iterable[str]) -> str:
    """From gates to cells, of modules with choices and without."""
    lines = [f"read_rtlil {GATES_FILE}", f"dfflibmap -liberty {LIBRARY_FILE}", "opt_clean"]
    for names, script in ((list(small), _SMALL), (list(large), _LARGE)):
        lines += [f"abc -liberty {LIBRARY_FILE} -script {script} {name}" for name in names]
    return "\n".join([*lines, "opt_clean -purge", f"write_json {CELLS_FILE}", ""])
