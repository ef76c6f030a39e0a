"""The short form of `make soak`."""

import pytest

from tests.soak import grew, soak
from tests.support.clusters import World

pytestmark = pytest.mark.apiserver


def test_nothing_piles_up_over_runs_that_fail(world: World) -> None:
    """With a third of the calls failing, memory, descriptors, threads and files stay, and all converges."""
    early, late, failed = soak(world, 12)
    assert failed
    assert grew(early, late) == []
