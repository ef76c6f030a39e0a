"""One target fails, in every way we could think of: the laws that hold in each, as the oracle sees it."""

import logging

import pytest

from tasks.domain.models import ClusterReport
from tasks.kube import transport
from tests.apiserver.scenarios import NAMES, SCENARIOS, Scenario
from tests.support.clusters import World

pytestmark = pytest.mark.apiserver

SECONDS = 12.0


def troubles(report: ClusterReport) -> set[str]:
    found = {str(failure.code) for failure in report.failures}
    return found | {str(change.reason) for change in report.changes if change.failed}


def applied(reports: dict[str, ClusterReport]) -> dict[str, set[str]]:
    """What the reports say was written."""
    return {
        name: {f"{change.target}" for change in report.changes if change.applied}
        for name, report in reports.items()
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number}: {one.name}")
def test_one_failing_target(
    world: World,
    scenario: Scenario,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has its code, the others are served, no key is shown, the report is true, and a rerun heals it."""
    monkeypatch.setattr(transport, "READ_SECONDS", 4.0)
    caplog.set_level(logging.DEBUG)
    world.add_neighbours()
    older = world.issue(*NAMES[-2:])
    assert world.sync().ok
    for secret in older:
        world.renew(secret)
    world.issue(*NAMES[:-2])
    oracle = world.oracle()
    with oracle.watching("dev"), scenario.inject(world):
        reports = world.run(SECONDS)
    assert troubles(reports["dev"]) == scenario.expected
    assert {name: report.ok for name, report in reports.items()} == {
        "dev": not scenario.expected,
        "rct": True,
        "prd": True,
    }
    assert oracle.objections() == []
    told = applied(reports)
    if scenario.leaves_doubt:
        assert told["dev"] <= set(world.versions())
        del told["dev"]
    assert oracle.misreported(told) == []
    oracle.look()
    healed = world.run()
    assert all(report.ok for report in healed.values())
    assert oracle.objections() + oracle.differences() + oracle.misreported(applied(healed)) == []
    oracle.look()
    assert all(report.ok for report in world.run().values())
    assert oracle.writes_tried() == []
    everything = "".join(report.model_dump_json() for report in (*reports.values(), *healed.values()))
    assert world.shown(everything + caplog.text) == set()
