"""`helm uninstall`: the last test."""

import time

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Evidence
from tests.e2e import inventory
from tests.e2e.machine import Machine
from tests.e2e.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_SECONDS = 180


def test_nothing_of_ours_is_left_on_ops(
    machine: Machine, release: Release, objects_before: set[tuple[str, str, str]]
) -> None:
    """There is no object more than before the installation, and no copy on a target has changed."""
    before = oracle.look(machine.sandbox)
    release.uninstall()
    deadline = time.monotonic() + _SECONDS
    while left := inventory.objects(machine) - objects_before:
        assert time.monotonic() < deadline, left
        time.sleep(1)
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert {place for place in evidence.created | evidence.updated if place.cluster != "ops"} == set()
    assert {
        place for place in set(before.secrets) - set(evidence.after.secrets) if place.cluster != "ops"
    } == set()
    assert {place for place in oracle.COPIES if place not in evidence.after.secrets} == set()
