import signal
from collections.abc import Iterator

import pytest

from tests.conftest import running
from tests.e2e import inventory
from tests.e2e import machine as machines
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import Release
from tests.e2e.witness import Witness


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The machine of all tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM cleans up, too
    yield from running(machines.running(), "no real node can be had")


@pytest.fixture(scope="session")
def witness(machine: Machine) -> Iterator[Witness]:
    """The witness, which observes every pod of every run."""
    found = Witness(machine)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def objects_before(machine: Machine) -> set[tuple[str, str, str]]:
    """Objects on OPS before the chart is installed."""
    return inventory.objects(machine)


@pytest.fixture(scope="session")
def release(machine: Machine, objects_before: object, witness: Witness) -> Release:
    """The chart, which is installed once; the last test file uninstalls it."""
    found = Release(machine)
    found.install()
    return found


@pytest.fixture(scope="session")
def prefect(release: Release) -> PrefectAPI:
    return release.prefect
