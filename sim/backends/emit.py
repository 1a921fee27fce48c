"""The netlist as files for other tools."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.backends.design import ChipSource, Design, group_source
from ohmweave.sim.backends.verilog import netlist_verilog
from ohmweave.sim.npz import replaceable

if TYPE_CHECKING:
    from ohmweave.sim.synthesis.constraints import Constraints

__all__ = ["FORMATS", "write_netlist"]

FORMATS = ("verilog", "rtlil")
# Rules of Verilator's lint that the generated modules break, and why each is of no consequence there.
WAIVED = {
    "ASCRANGE": "a signal without bits is written with the range [-1:0]; nothing reads it",
    "CASEINCOMPLETE": "the value for all other cases is assigned before the case",
    "CMPCONST": "a comparison that this configuration's widths make constant",
    "DECLFILENAME": "all modules of the chip stand in one file, the top first",
    "INITIALDLY": "the assignment at time 0 only wakes combinational blocks, which Verilator evaluates anyway",
    "PROCASSINIT": "registers have their reset value from the start, too",
    "UNSIGNED": "a comparison that this configuration's widths make constant",
    "UNUSEDSIGNAL": "every intermediate value has a name, and fields of records that are not used keep theirs",
    "WIDTHEXPAND": "operands are extended as Verilog does; the widths of results were computed to hold them",
    "WIDTHTRUNC": "a value stands for whether it is not 0",
}
FILE_LIST = "filelist.f"
WAIVERS = "waivers.vlt"


def write_netlist(
    source: GroupParams | ChipSource,
    out: Path,
    fmt: str = "verilog",
    constraints: "Constraints | None" = None,
) -> list[Path]:
    """Write a chip's netlist into the folder `out`, which is made if it is missing; return the files.

    `verilog`: the modules of the chip, the macros' models, `filelist.f` that names them, and `waivers.vlt` with what
    Verilator's lint is to leave alone and why. `rtlil`: the modules, the macros as black boxes. With `constraints`
    SDC, Liberty and LEF views of the macros and a FuseSoC core file come with the Verilog. All files are written beside
    their places first, and appear when everything is there.
    """
    if fmt not in FORMATS:
        raise OhmweaveError(f"the format must be one of {', '.join(FORMATS)}, not {fmt!r}")
    if constraints is not None and fmt != "verilog":
        raise OhmweaveError("constraints come with the format verilog")
    design = (source if isinstance(source, ChipSource) else group_source(source)).design()
    texts = _verilog(design) if fmt == "verilog" else {f"{design.top}.il": design.rtlil}
    if constraints is not None:
        from ohmweave.sim.synthesis.constraints import constraint_files

        texts |= constraint_files(design, constraints, texts[FILE_LIST].split())
    try:
        out.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".ohmweave-", dir=out))
        try:
            for name, text in texts.items():
                (part / name).write_text(text)
            for name in texts:
                replaceable(out / name)
            for name in texts:
                (part / name).replace(out / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OhmweaveError(f"{out} cannot be written: {error.strerror or error}") from None
    return [out / name for name in texts]


def _verilog(design: Design) -> dict[str, str]:
    from ohmweave.rtl.macro_models import models_of

    texts = {f"{design.top}.v": netlist_verilog(design)}
    texts |= {f"{name}.sv": models_of(array).verilog_model(array) for name, array in design.macros.items()}
    texts[FILE_LIST] = "".join(f"{name}\n" for name in texts)
    rules = "".join(
        f'// {reason}\nlint_off -rule {rule} -file "*{design.top}.v"\n' for rule, reason in WAIVED.items()
    )
    texts[WAIVERS] = f"`verilator_config\n{rules}"
    return texts
