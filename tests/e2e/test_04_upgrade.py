"""`helm upgrade` with other values takes effect at the next run."""

import copy

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Evidence, Place
from tests.e2e.machine import CommandError, Machine
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import MONTHLY, YEARLY, Release
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_NEW = Place("rct", "homarr-rct", "start-tls")


def test_a_changed_schedule_and_a_new_route_take_effect(
    machine: Machine, release: Release, prefect: PrefectAPI
) -> None:
    """The deployment has only the new schedule; the next run writes only the new route's copies."""
    config = copy.deepcopy(release.values["tlsSync"]["config"])
    (rct,) = [cluster for cluster in config["clusters"] if cluster["name"] == "rct"]
    route = {"certificates": ["headlamp-rct-tls"], "namespaces": [_NEW.namespace], "name": _NEW.name}
    rct["routes"] = [*rct["routes"], route]
    release.upgrade(schedule=YEARLY, config=config)
    assert prefect.crons() == [YEARLY]
    prefect.await_rest()

    before = oracle.look(machine.sandbox)
    run = prefect.carry_out()
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert run.state == "Completed", run
    written = set() if _NEW in before.secrets else {_NEW}  # a run of the old schedule may have been under way
    assert evidence.objections(written) == []
    assert _NEW in evidence.after.secrets


def test_an_upgrade_without_a_password_is_refused(release: Release, prefect: PrefectAPI) -> None:
    """Where a release has no password yet, Helm refuses before anything changes, and says what to create."""
    before = release.values
    try:
        with pytest.raises(CommandError, match="the Prefect server of this release has no password"):
            release.change(prefect={})
    finally:
        release.values = before
    assert prefect.crons() == [YEARLY]


@pytest.mark.parametrize(
    ("schedule", "least", "said"),
    [
        (MONTHLY, 2, ["ScheduleTooSlow: ", "but scheduled runs are up to 31 days apart"]),
        # Prefect schedules no run that is more than 100 days away, so one of these at most.
        (YEARLY, 0, ["NoSchedule: ", "and fewer than two runs are scheduled"]),
    ],
    ids=["monthly", "yearly"],
)
def test_the_preflight_finds_a_slow_schedule(
    release: Release, prefect: PrefectAPI, schedule: str, least: int, said: list[str]
) -> None:
    """The log and the artifact of a preflight on OPS have the finding and its remedy."""
    release.upgrade(schedule=schedule)
    until(
        f"{least} runs of the schedule {schedule}",
        lambda: sum(run.state == "Scheduled" for run in prefect.runs()) >= least,
    )
    run = prefect.finish(prefect.start("tls-sync-preflight/ops"))
    assert run.state == "Completed", run
    said = [*said, "schedule a run at least every"]
    prefect.await_log(run.id, *said)
    (artifact,) = prefect.artifacts(run.id)
    assert [text for text in said if text not in artifact["data"]] == []
