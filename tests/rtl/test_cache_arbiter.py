"""What clients of one cache may be; the arbiter's work is tested in `test_memory_system.py`, with two engines."""

import pytest

from ohmweave.params import CacheParams
from ohmweave.rtl.memory.arbiter import CacheArbiter


@pytest.mark.parametrize("clients", [1, 9, True, "2"])
def test_refused_clients(clients: object) -> None:
    with pytest.raises(TypeError, match=r"^CacheArbiter clients must be a whole number from 2 to 8, not "):
        CacheArbiter(params=CacheParams(), clients=clients)  # type: ignore[arg-type]


def test_refused_params() -> None:
    with pytest.raises(TypeError, match=r"^params must be CacheParams, not 3$"):
        CacheArbiter(params=3, clients=2)  # type: ignore[arg-type]
