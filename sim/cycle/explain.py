"""Why a simulation of the netlist hangs, from a run of the same job in the cycle model."""

from ohmweave.params import GroupParams
from ohmweave.sim.backends.job import Standstill, hang_message
from ohmweave.sim.cycle.compiled import COMPILED
from ohmweave.sim.cycle.decode import chip_settings
from ohmweave.sim.cycle.timing import timing

__all__ = ["explained"]


def explained(params: GroupParams, hang: Standstill) -> Standstill:
    """The refusal of a netlist's run in which nothing moves any more, explained where the model can do so.

    Its job is run in the model. If that is refused the sentence stays as it is.
    """
    if not COMPILED:  # as many cycles as the netlist's, in plain Python
        return hang
    try:
        timing(params, chip_settings(params, hang.job.config), hang.job)
    except Standstill as model:
        if model.came != hang.came:
            return hang_message(hang.job, hang.came, f"the cycle model stands still after {model.came}")
        return model
    except Exception:  # whatever the model trips over in a broken configuration: the hang is what counts
        return hang
    return hang_message(hang.job, hang.came, "the cycle model does not stand still")
