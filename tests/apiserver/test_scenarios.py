"""One target fails, in every way we could think of: the laws that hold in each."""

import base64

import pytest

from tasks import transport
from tasks.models import ClusterReport
from tests.apiserver.scenarios import NAMES, SCENARIOS, Scenario
from tests.world import TARGETS, World

pytestmark = pytest.mark.apiserver

SECONDS = 12.0


def troubles(report: ClusterReport) -> set[str]:
    found = {str(failure.code) for failure in report.failures}
    return found | {str(change.reason) for change in report.changes if change.failed}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number}: {one.name}")
def test_one_failing_target(world: World, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its code, the others are served, no key is shown, the report is true, and a rerun heals it."""
    monkeypatch.setattr(transport, "READ_SECONDS", 4.0)
    secrets = world.issue(*NAMES)
    with scenario.inject(world):
        reports = world.run(SECONDS)
    dev = reports["dev"]
    assert troubles(dev) == scenario.expected
    assert dev.ok == (not scenario.expected)
    for cluster in TARGETS[1:]:
        assert reports[cluster].ok
        assert len(world.versions(cluster)) == len(NAMES)
    keys = [base64.b64decode(secret["data"]["tls.key"]).decode() for secret in secrets]
    assert not any(key in str(reports) for key in keys)
    applied = {f"{change.target}" for change in dev.changes if change.applied}
    assert applied <= set(world.versions())
    if not dev.failures:
        assert applied == set(world.versions())
    healed = world.run()
    assert all(report.ok for report in healed.values())
    for name, secret in zip(NAMES, secrets, strict=True):
        copy = world.copy(name)
        assert copy is not None
        assert copy["data"] == secret["data"]
    before = world.versions()
    assert all(report.ok for report in world.run().values())
    assert world.versions() == before
