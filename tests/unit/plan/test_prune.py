"""Which copies may be deleted: the rules, without a cluster."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.schema import SyncConfig
from tasks.domain import annotations
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    ManagedKeys,
    OrphanRecord,
    Plan,
    SecretRef,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.plan import ownership
from tasks.plan.decide import make_plan
from tasks.plan.orphans import MIN_RUN_INTERVAL, Clock, clock_of, is_due, with_prune_forecast
from tasks.plan.ownership import orphan_annotations, orphan_record_of
from tasks.plan.prune import (
    MAX_DELETIONS_PER_RUN,
    PrunePlan,
    at_target_time,
    copies_newer_than_ops,
    ensure_safe_prune,
    plan_prune,
    with_outcome,
)
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import SyncSpec
from tasks.report import terminal
from tasks.report.rows import explain
from tests.support import factories as f
from tests.support.factories import NOW, run_report

GLOB = f.route(["web-*"], ["app"])
DAY = timedelta(hours=24)
DUE = OrphanRecord(since=NOW - DAY, seen=NOW - timedelta(hours=1), runs=3, source="certificates-ops/web-0")


def name(number: int) -> str:
    return f"web-{number}"


def world(
    copies: int = 10, gone: int = 1, absence: OrphanRecord = DUE, cluster: str = "dev", **values: Any
) -> tuple[SyncSpec, ClusterReport]:
    """A pruned cluster with so many copies, the first of which have lost their certificate."""
    entry = f.cluster(GLOB, name=cluster, prune=True, clusterId=f.OPS_ID, **values)
    source = {"namespace": f.SOURCE_NAMESPACE, "clusterId": f.OPS_ID}
    config = SyncConfig.model_validate(
        {"owner": f.OWNER, "source": source, "clusters": [entry.model_dump(by_alias=True)]}
    )
    held = [f.certificate(name(number)) for number in range(copies)]
    inventory = f.snapshot(*(held[gone:] or [f.certificate("other")]))
    found = [copy(one, absence if number < gone else OrphanRecord()) for number, one in enumerate(held)]
    plan = make_plan(entry, inventory, found, owner=f.US, now=NOW)
    return SyncSpec(config, entry, inventory), ClusterReport(cluster=cluster, changes=plan.changes)


def copy(holds: Any, absence: OrphanRecord) -> Any:
    notes = ownership.annotations(holds) | orphan_annotations(absence)
    return f.target_secret(holds, namespace="app", annotations=notes)


def planned(*pairs: tuple[SyncSpec, ClusterReport], now: datetime = NOW) -> tuple[PrunePlan, ...]:
    """What is carried out where the target's clock says the same as ours."""
    found = plan_prune([spec for spec, _ in pairs], [report for _, report in pairs], now)
    return tuple(at_target_time(one, Clock(now), f.SOURCE_NAMESPACE) for one in found)


def safe(prune_plan: PrunePlan, spec: SyncSpec, report: ClusterReport, newer: str = "", **clock: Any) -> None:
    ensure_safe_prune(prune_plan, spec, report, newer, Clock(**{"now": NOW, **clock}))


def deleted(*pairs: tuple[SyncSpec, ClusterReport], now: datetime = NOW) -> int:
    return sum(len(one.deletes) for one in planned(*pairs, now=now))


def refused(*pairs: tuple[SyncSpec, ClusterReport]) -> list[str]:
    return [failure.detail for one in planned(*pairs) for failure in one.failures]


def test_what_is_due_is_deleted_and_bound_to_what_was_listed() -> None:
    """A deletion names the object and the state that the decision was made on."""
    spec, report = world()
    told = with_prune_forecast(Plan(cluster="dev", changes=report.changes), spec, Clock(NOW))
    (one,) = planned((spec, report.model_copy(update={"changes": told.changes})))
    (row,) = one.deletes
    assert (row.action, row.reason, row.target, row.detail) == (
        Action.DELETE,
        Reason.PRUNED,
        SecretRef(namespace="app", name="web-0"),
        "",
    )
    assert (row.uid, row.resource_version) == ("uid-of-copy", "41")
    assert (one.records, one.failures) == ((), ())
    assert one.rows == (row,)


@pytest.mark.parametrize(
    ("absence", "due"),
    [
        (replace(DUE, since=NOW - DAY + timedelta(seconds=1)), False),
        (replace(DUE, since=NOW - 3 * DAY), True),
        (replace(DUE, runs=7), True),
        (replace(DUE, seen=NOW), True),
        (replace(DUE, since=NOW - DAY, seen=NOW - DAY), True),
        (replace(DUE, since=NOW - 9 * DAY, seen=NOW - 2 * DAY), True),
        (replace(DUE, since=NOW - 9 * DAY, seen=NOW - 2 * DAY - timedelta(seconds=1)), False),
    ],
    ids=["a second early", "days ago", "many runs", "now", "once", "just fresh", "a second stale"],
)
def test_three_runs_and_a_day_make_it_due(absence: OrphanRecord, due: bool) -> None:
    """At least, both; and the last of them two days ago at most, to the second."""
    assert deleted(world(absence=absence)) == (1 if due else 0)


@pytest.mark.parametrize(
    ("absence", "runs"),
    [
        (OrphanRecord(), 1),
        (replace(DUE, runs=1), 2),
        (replace(DUE, runs=2), 3),
        (replace(DUE, since=NOW - DAY + timedelta(seconds=1), runs=2), 3),
        (replace(DUE, seen=NOW - timedelta(hours=49), since=NOW - 9 * DAY), 1),
        (replace(DUE, since=NOW + DAY, seen=NOW + DAY), 1),
        (replace(DUE, since=NOW, seen=NOW - DAY), 1),
    ],
    ids=[
        "new",
        "one run",
        "two runs",
        "a second early",
        "nobody looked for two days",
        "of the future",
        "turned round",
    ],
)
def test_what_is_not_due_is_noted(absence: OrphanRecord, runs: int) -> None:
    """Runs that found it gone are counted; notes that can't be right, or that nobody kept up, start anew."""
    (one,) = planned(world(absence=absence))
    (row,) = one.records
    assert row.absence is not None
    assert (one.deletes, row.absence.runs, row.absence.seen) == ((), runs, NOW)
    assert row.absence.since == (absence.since if runs > 1 else NOW)


@pytest.mark.parametrize("runs", [1, 2])
def test_runs_that_come_sooner_do_not_count(runs: int) -> None:
    """A note is made 50 minutes after the last one at the soonest, to the second, so that runs are apart."""
    last = NOW - timedelta(minutes=50)
    just, sooner = (replace(DUE, seen=one, runs=runs) for one in (last, last + timedelta(seconds=1)))
    assert [len(planned(world(absence=one))[0].records) for one in (just, sooner)] == [1, 0]


def test_enough_runs_are_noted_now_and_then() -> None:
    """Between the third run and the day's end a copy is written to every six hours only."""
    recent = replace(DUE, since=NOW - timedelta(hours=9), seen=NOW - timedelta(hours=5))
    old = replace(recent, seen=NOW - timedelta(hours=6))
    oldest, many = replace(recent, seen=NOW - timedelta(hours=7)), replace(recent, runs=5)
    noted = [len(planned(world(absence=one))[0].records) for one in (recent, many, old, oldest)]
    assert noted == [0, 0, 1, 1]


def called(reason: Reason, report: ClusterReport) -> ClusterReport:
    """The report, with this said of what is gone."""
    gone = [c for c in report.changes if c.reason is Reason.GONE_FROM_SOURCE]
    rows = tuple(replace(c, reason=reason) if c in gone else c for c in report.changes)
    return report.model_copy(update={"changes": rows})


@pytest.mark.parametrize("reason", [Reason.NO_LONGER_ROUTED, Reason.EXPIRED])
def test_a_copy_whose_certificate_is_not_gone_is_kept(reason: Reason) -> None:
    """What no route sends any more, or OPS has in a bad state, is not absent there: its notes end."""
    spec, report = world()
    (one,) = planned((spec, called(reason, report)))
    assert (one.deletes, one.records) == ((), ())
    assert [row.absence for row in one.cleared] == [OrphanRecord()]


@pytest.mark.parametrize("reason", [Reason.NO_LONGER_ROUTED, Reason.EXPIRED])
def test_nothing_is_foretold_of_a_copy_whose_certificate_is_not_gone(reason: Reason) -> None:
    """Its record ends in this run, so the report does not say when the copy is deleted."""
    spec, report = world()
    plan = Plan(cluster="dev", changes=called(reason, report).changes)
    assert with_prune_forecast(plan, spec, Clock(NOW)) == plan


def test_a_copy_that_is_kept_is_never_due() -> None:
    """Whatever its record says of runs and days."""
    assert is_due(DUE, NOW)
    assert not is_due(replace(DUE, kept="it was edited on the target"), NOW)


def test_only_clusters_that_say_so_are_pruned() -> None:
    """Without `prune: true` nothing is planned, whatever was noted."""
    spec, report = world()
    off = replace(spec, cluster=spec.cluster.model_copy(update={"prune": False}))
    assert planned((off, report)) == ()


def test_reports_belong_to_orders_by_name() -> None:
    """PRD may stand before DEV in the configuration, and be served after it: only what is pruned is."""
    spec, report = world(cluster="dev")
    prd, of_prd = world(cluster="prd")
    kept = replace(prd, cluster=prd.cluster.model_copy(update={"prune": False}))
    assert [one.cluster for one in plan_prune([kept, spec], [report, of_prd], NOW)] == ["dev"]


def test_a_cluster_in_trouble_is_no_witness() -> None:
    """Where something failed, nothing is deleted, noted or counted."""
    spec, report = world()
    failure = Failure(code=FailureCode.TIMEOUT, cluster="dev", what="x")
    (one,) = planned((spec, report.model_copy(update={"failures": (failure,)})))
    assert (one.rows, one.failures) == ((), ())


def told_of(*pairs: tuple[SyncSpec, ClusterReport]) -> dict[str, list[str]]:
    """What is said of the copies to which nothing is done, cluster by cluster."""
    return {one.cluster: [explain(row) for row in one.deferred] for one in planned(*pairs)}


def with_row(report: ClusterReport, reason: Reason, action: Action = Action.REFUSE) -> ClusterReport:
    target = SecretRef(namespace="app", name="other")
    row = Change(action=action, reason=reason, target=target, certificate="other", old=f.version())
    return report.model_copy(update={"changes": (*report.changes, row)})


WAITS = "it is no longer on OPS: the copy is neither noted nor deleted for now: "


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED),
        (Action.REFUSE, Reason.OWNED_BY_OTHER),
        (Action.KEEP, Reason.EXPIRED),
        (Action.KEEP, Reason.MISSING_ON_SOURCE),
        (Action.NOTHING, Reason.MISSING_ON_SOURCE),
    ],
)
@pytest.mark.parametrize("absence", [DUE, OrphanRecord(source=DUE.source)], ids=["due", "new"])
def test_a_refusal_comes_first_in_its_cluster(absence: OrphanRecord, action: Action, reason: Reason) -> None:
    """Whatever makes a cluster Failed keeps it from notes and deletions, and no other cluster."""
    dev, (spec, report) = world(absence=absence), world(absence=absence, cluster="rct")
    refused_there = with_row(report, reason, action)
    one, other = planned(dev, (spec, refused_there))
    assert len(one.rows) == 1
    assert (other.rows, other.failures) == ((), ())
    told = f"something failed or was refused in this cluster: {reason} of app/other"
    assert told_of(dev, (spec, refused_there)) == {"dev": [], "rct": [WAITS + told]}


@pytest.mark.parametrize("absence", [DUE, OrphanRecord(source=DUE.source)], ids=["due", "new"])
@pytest.mark.parametrize("prune", [True, False], ids=["pruned", "not pruned"])
def test_a_newer_copy_anywhere_is_doubt_about_ops(absence: OrphanRecord, prune: bool) -> None:
    """OPS may have been restored: nothing is noted or deleted anywhere, whichever cluster has that copy."""
    dev, (spec, report) = world(absence=absence), world(gone=0, cluster="rct")
    spec = replace(spec, cluster=spec.cluster.model_copy(update={"prune": prune}))
    rct = spec, with_row(report, Reason.WOULD_DOWNGRADE)
    assert [one.rows for one in planned(dev, rct)] == [()] * (1 + prune)
    told = (
        "OPS may be of an older snapshot, as targets have newer certificates (app/other on rct): see to those"
    )
    assert told_of(dev, rct) == {"dev": [WAITS + told]} | ({"rct": []} if prune else {})


def test_newer_copies_are_named_and_not_all() -> None:
    """Newer copies are named in alphabetical order, and only some of them."""
    (_, one), (_, two) = (world(gone=0, cluster=cluster) for cluster in ("rct", "dev"))
    found = copies_newer_than_ops(
        [with_row(one, Reason.WOULD_DOWNGRADE), *[with_row(two, Reason.WOULD_DOWNGRADE)] * 99]
    )
    assert found.startswith("app/other on dev, app/other on dev, ")
    assert found.endswith(" more")
    assert copies_newer_than_ops([one, two]) == ""


def test_what_waits_is_said_where_something_is_gone_alone() -> None:
    """A cluster in trouble that has no such copy, or keeps it anyhow, says nothing about pruning."""
    kept = replace(DUE, kept="x")
    for pair in (world(gone=0), world(absence=kept), world(absence=replace(DUE, source="elsewhere/web-0"))):
        spec, report = pair
        rows = tuple(replace(row, absence=kept) if row.absence == DUE else row for row in report.changes)
        waits = with_row(report.model_copy(update={"changes": rows}), Reason.HOSTNAME_NOT_ALLOWED)
        assert told_of((spec, waits)) == {"dev": []}


def test_notes_end_whatever_else_there_is() -> None:
    """The notes of a certificate that is back on OPS are removed, in a run that failed, too."""
    spec, report = world()
    back = with_row(called(Reason.IN_SYNC, report), Reason.WOULD_DOWNGRADE)
    back = back.model_copy(update={"failures": (Failure(code=FailureCode.TIMEOUT, cluster="dev", what="x"),)})
    (one,) = planned((spec, back))
    assert [(row.target.name, row.absence) for row in one.cleared] == [("web-0", OrphanRecord())]
    safe(one, spec, back, newer="x", problem="x")


ZERO, SECOND, MINUTES = timedelta(), timedelta(seconds=1), timedelta(minutes=5)


@pytest.mark.parametrize("ahead", [-MINUTES, -SECOND, ZERO, SECOND, MINUTES])
def test_a_clock_that_agrees_is_gone_by(ahead: timedelta) -> None:
    """The target's time counts, whichever is ahead, up to five minutes."""
    assert clock_of(NOW + ahead, NOW) == Clock(NOW + ahead)


@pytest.mark.parametrize("ahead", [-DAY, -MINUTES - SECOND, MINUTES + SECOND, DAY])
def test_a_clock_that_differs_is_not_gone_by(ahead: timedelta) -> None:
    """One of the two is wrong, and nobody knows which: both times are said, and what to do."""
    told = f"the API server's clock says {NOW + ahead:%Y-%m-%d %H:%M:%S} UTC, ours 2026-03-01 12:00:00 UTC"
    clock = clock_of(NOW + ahead, NOW)
    assert clock == Clock(NOW + ahead, f"{told}, more than 5 minutes apart: set the wrong one")
    pair = world(10, 2)
    (one,) = plan_prune([pair[0]], [pair[1]], NOW)
    assert one.rows
    left = at_target_time(one, clock, f.SOURCE_NAMESPACE)
    assert left.rows == ()
    assert [explain(row) for row in left.deferred] == [WAITS + clock.problem] * 2
    assert with_outcome(pair[1], left.deferred, ()).counts == {Action.KEEP: 10}


def test_a_server_that_tells_no_time_is_not_gone_by() -> None:
    """Nothing is noted or deleted there, since nobody knows how much time has passed."""
    clock = clock_of(None, NOW)
    assert clock.now == NOW
    assert "have no Date that can be read" in clock.problem


def test_the_targets_time_decides_and_is_noted() -> None:
    """Whether a copy is due is decided by the target's time, not by ours, and a note has that time."""
    early = NOW - timedelta(minutes=4)
    spec, report = world()
    (one,) = plan_prune([spec], [report], NOW)
    assert len(one.deletes) == 1
    assert at_target_time(one, Clock(early), f.SOURCE_NAMESPACE).rows == ()
    (row,) = planned(world(absence=OrphanRecord()), now=early)[0].records
    assert row.absence == OrphanRecord(since=early, seen=early, runs=1, source="certificates-ops/web-0")


@pytest.mark.parametrize("minutes", [3, -3])
def test_notes_by_our_own_clock_are_still_notes(minutes: int) -> None:
    """Notes that earlier versions made by our clock count, unless they lie in the target's future."""
    now = NOW + timedelta(minutes=minutes)
    (one,) = planned(world(absence=replace(DUE, runs=2, seen=NOW, since=NOW - DAY)), now=now)
    assert [row.absence.runs for row in one.records if row.absence] == ([] if minutes > 0 else [1])


def test_each_report_goes_by_the_targets_time() -> None:
    """Reports go by the target's time, or say which clock is wrong and not when the copy is deleted."""
    spec, report = world()
    plan = Plan(cluster="dev", changes=report.changes)
    clocks = (Clock(NOW), Clock(NOW - DAY), Clock(NOW, "x"))
    told = [explain(row) for c in clocks for row in with_prune_forecast(plan, spec, c).changes if row.absence]
    assert "the copy is due" in told[0]
    assert "a run of all clusters will note it" in told[1]
    assert told[2] == f"{WAITS}x"


MOSTLY = st.sampled_from([True] * 9 + [False])
PAUSES = st.sampled_from([1, 49, 50, 60, 6 * 60, 12 * 60, 24 * 60 - 100, 24 * 60, 49 * 60])
"""Minutes between two runs."""


@f.law
@given(steps=st.lists(st.tuples(PAUSES, MOSTLY, MOSTLY), min_size=3, max_size=12))
def test_no_copy_goes_before_three_runs_and_a_day(steps: list[tuple[int, bool, bool]]) -> None:
    """In any sequence of runs, three find the certificate gone, over a day, before a deletion."""
    spec, start = world(copies=1)
    other, healthy = world(gone=0, copies=1, cluster="rct")
    now, absence, noted = NOW, OrphanRecord(source=DUE.source), list[datetime]()
    for minutes, gone, well in steps:
        now += timedelta(minutes=minutes)
        rows = tuple(replace(row, absence=absence) for row in start.changes)
        report = start.model_copy(update={"changes": rows})
        report = report if gone else called(Reason.IN_SYNC, report)
        of_other = healthy if well else with_row(healthy, Reason.WOULD_DOWNGRADE)
        one, _ = planned((spec, report), (other, of_other), now=now)
        safe(one, spec, report, copies_newer_than_ops([of_other]), now=now)
        if one.deletes:
            assert gone and well and len(noted) >= 3 and now - noted[0] >= DAY  # noqa: PT018  one law
            return
        written = one.records or one.cleared
        absence = replace(written[0].absence or OrphanRecord(), source=DUE.source) if written else absence
        if not gone:
            noted = []
        elif well and (not noted or now - noted[-1] >= MIN_RUN_INTERVAL):
            noted.append(now)


@pytest.mark.parametrize(
    ("copies", "gone", "goes"),
    [(1, 1, True), (9, 1, True), (9, 2, False), (10, 3, True), (10, 4, False), (33, 9, True)],
)
def test_at_most_thirty_percent_go(copies: int, gone: int, goes: bool) -> None:
    """Of ten and more copies 30 %, of fewer one; beyond that, none at all, and it fails."""
    pair = world(copies, gone)
    assert deleted(pair) == (gone if goes else 0)
    most = int(copies * 0.3) if copies >= 10 else 1
    said = f"{gone} of {copies} certificates are gone from OPS at once; at most {most} may be"
    assert refused(pair) == ([] if goes else [said])


def test_of_few_copies_those_of_one_certificate_may_go() -> None:
    """In all namespaces, or a small cluster would be red for ever; of two certificates none goes."""
    spec, report = small = world(9, 2)
    rows = tuple(replace(c, certificate="web-0") if c.certificate == "web-1" else c for c in report.changes)
    pair = (spec, report.model_copy(update={"changes": rows}))
    (one,) = planned(pair)
    assert len(one.deletes) == 2
    safe(one, *pair)
    said = "copies of 2 certificates are due; of fewer than 10 copies, only those of one may go at once"
    assert refused(world(40, 0, cluster="prd"), small) == [said]


LATER = f"{NOW + timedelta(hours=23):%Y-%m-%d %H:%M} UTC"
FORETOLD = {
    "new": (
        OrphanRecord(source=DUE.source),
        "a run of all clusters will note it; after a day and 3 such runs, one deletes the copy",
    ),
    "stale": (
        replace(DUE, seen=NOW - timedelta(hours=49)),
        "a run of all clusters will note it; after a day and 3 such runs, one deletes the copy",
    ),
    "noted": (
        replace(DUE, since=NOW - timedelta(hours=1), runs=2),
        f"a run of all clusters after {LATER} deletes the copy, once 3 runs have noted it; so far: 2",
    ),
    "noted exactly enough": (
        replace(DUE, since=NOW - timedelta(hours=1), runs=3),
        f"a run of all clusters after {LATER} deletes the copy",
    ),
    "noted enough": (
        replace(DUE, since=NOW - timedelta(hours=1), runs=5),
        f"a run of all clusters after {LATER} deletes the copy",
    ),
    "due": (DUE, "the copy is due: a run of all clusters deletes it, where the waves before went well"),
    "edited": (
        replace(DUE, kept="it was edited on the target"),
        "the copy is kept: it was edited on the target",
    ),
    "another source": (
        replace(DUE, source="elsewhere/web-0"),
        "the copy is kept: it came from another namespace of OPS",
    ),
}


@pytest.mark.parametrize(("absence", "said"), FORETOLD.values(), ids=FORETOLD)
def test_each_report_says_what_becomes_of_the_copy(absence: OrphanRecord, said: str) -> None:
    """When it goes, or why it stays, in the log and in the artifact; not that a person is to delete it."""
    spec, report = world()
    rows = tuple(replace(c, absence=absence) if c.absence else c for c in report.changes)
    plan = with_prune_forecast(Plan(cluster="dev", changes=rows), spec, Clock(NOW))
    (row,) = (c for c in plan.changes if c.absence)
    assert explain(row) == f"it is no longer on OPS: {said}"
    shown = terminal.render(run_report(report.model_copy(update={"changes": plan.changes})))
    assert f"app/web-0: it is no longer on OPS: {said}" in " ".join(shown.split())


def test_where_nothing_is_pruned_a_person_is_told_to() -> None:
    """Nothing is foretold, and what to do is what it always was."""
    spec, report = world()
    off = replace(spec, cluster=spec.cluster.model_copy(update={"prune": False}))
    plan = Plan(cluster="dev", changes=report.changes)
    assert with_prune_forecast(plan, off, Clock(NOW)) is plan
    blind = replace(
        spec, snapshot=f.snapshot(failure=Failure(code=FailureCode.TIMEOUT, cluster="ops", what="x"))
    )
    assert with_prune_forecast(plan, blind, Clock(NOW)) is plan
    (row,) = (c for c in plan.changes if c.absence)
    assert explain(row).endswith(": the copy is kept; delete it by hand if nobody needs it")


def test_what_a_run_notes_it_says() -> None:
    """The row of a note has the note's own words; where nothing is due yet, nothing is refused either."""
    (one,) = planned(world(9, absence=OrphanRecord()))
    assert one.failures == ()
    assert [row.detail[:26] for row in one.records] == ["a run of all clusters afte"]


def test_at_most_ten_go_at_once_in_a_cluster() -> None:
    """Whatever the share; what is due is not deleted in part."""
    assert deleted(world(100, 10)) == 10
    assert deleted(world(100, 11)) == 0
    assert refused(world(100, 11)) == ["11 copies are due; at most 10 may go at once here"]


def test_at_most_fifty_go_in_all() -> None:
    """Over all clusters of a run together."""
    pairs = [world(100, 10, cluster=f"dev-{number}") for number in range(6)]
    assert deleted(*pairs[:5]) == MAX_DELETIONS_PER_RUN
    assert deleted(*pairs) == 0
    assert set(refused(*pairs)) == {"60 copies are due in all clusters together; at most 50 may go at once"}


def test_much_gone_at_once_is_doubted_before_anything_is_noted() -> None:
    """Four of ten certificates: no copy is even noted, so that no clock runs while OPS is broken."""
    (one,) = planned(world(10, 4, absence=OrphanRecord()))
    assert (one.deletes, one.records) == ((), ())
    assert one.failures[0].detail == "4 of 10 certificates are gone from OPS at once; at most 3 may be"


def test_an_empty_ops_is_not_believed() -> None:
    """Where it holds no certificate at all, not even a single copy goes."""
    spec, report = world(1, 1)
    assert deleted((spec, report)) == 1
    emptied = (replace(spec, snapshot=f.snapshot()), report)
    assert deleted(emptied) == 0
    assert refused(emptied) == ["OPS holds no certificate at all, and 1 are missing there"]


def test_what_is_kept_elsewhere_is_one_certificate() -> None:
    """Three of ten are gone, whatever another cluster calls its copies of the same three."""
    dev, (prd, report) = world(10, 3), world(3, 3, cluster="prd")
    assert deleted(dev, (prd, called(Reason.NO_LONGER_ROUTED, report))) == 3


def test_copies_that_people_keep_do_not_count() -> None:
    """A kept copy is not deleted, and is no reason to doubt OPS for ever."""
    spec, report = world(10, 4)
    rows = tuple(replace(c, absence=replace(c.absence, kept="x")) if c.absence else c for c in report.changes)
    (one,) = planned((spec, report.model_copy(update={"changes": rows})))
    assert (one.deletes, one.failures) == ((), ())


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED),
        (Action.REFUSE, Reason.OWNED_BY_OTHER),
        (Action.NOTHING, Reason.MISSING_ON_SOURCE),
        (Action.CREATE, Reason.MISSING_ON_TARGET),
    ],
)
def test_what_was_no_copy_widens_no_limit(action: Action, reason: Reason) -> None:
    """Thirty rows about Secrets that are not ours, or were not there, let no second copy go of nine."""
    spec, report = world(9, 2)
    others = tuple(
        Change(
            action=action,
            reason=reason,
            target=SecretRef(namespace="app", name=f"x-{number}"),
            certificate=f"x-{number}",
            new=f.version() if action is Action.CREATE else None,
            applied=action is Action.CREATE,
        )
        for number in range(30)
    )
    (one,) = planned((spec, report.model_copy(update={"changes": report.changes + others})))
    assert (one.deletes, len(one.failures)) == ((), 1)


def test_copies_of_another_namespace_of_ops_are_kept() -> None:
    """Where source.namespace was changed, what the old one fed is not gone, as far as we know."""
    spec, report = world()
    source = spec.config.source.model_copy(update={"namespace": "elsewhere"})
    moved = replace(spec, config=spec.config.model_copy(update={"source": source}))
    (one,) = planned((moved, report))
    assert (one.deletes, one.records) == ((), ())


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({}, ""),
        ({"annotations": {annotations.PRUNE: "false"}}, 'its annotation tls-sync.io/prune is not "true"'),
        ({"annotations": {annotations.PRUNE: "False"}}, 'its annotation tls-sync.io/prune is not "true"'),
        ({"annotations": {annotations.PRUNE: ""}}, 'its annotation tls-sync.io/prune is not "true"'),
        ({"annotations": {annotations.PRUNE: "true"}}, ""),
        (
            {"managed": ManagedKeys(ours=f.PAIR, ours_metadata=f.METADATA, others=frozenset({"x"}))},
            "it was edited on the target",
        ),
        (
            {"managed": ManagedKeys(ours=f.PAIR, ours_metadata=annotations.LABELS)},
            "it was edited on the target",
        ),
        ({"terminating": True}, "it is being deleted already"),
        ({"stamped": False}, "an earlier version wrote it, and did not note from which OPS cluster"),
        ({"annotations": {annotations.SOURCE_CLUSTER: "former"}}, "it came from a former OPS cluster"),
    ],
    ids=[
        "ours",
        "kept",
        "kept, too",
        "empty",
        "not kept",
        "another's key",
        "another's note",
        "terminating",
        "not stamped",
        "stamped by a former OPS",
    ],
)
def test_what_keeps_a_copy(values: dict[str, Any], kept: str) -> None:
    """The target's own word, and every edit: what somebody wrote to is not ours alone to delete."""
    assert orphan_record_of(f.target_secret(**values), f.US).kept == kept


@pytest.mark.parametrize("spoilt", ["", "soon", "2026-01-01", "2026-01-01T00:00:00"])
def test_spoilt_notes_count_as_none(spoilt: str) -> None:
    """A note without a point in time that is one starts no clock and ends none."""
    notes = orphan_annotations(DUE) | {annotations.ORPHANED_SINCE: spoilt}
    assert orphan_record_of(f.target_secret(annotations=notes), f.US) == OrphanRecord()


@pytest.mark.parametrize("spoilt", ["9" * 4300, "1234567", "-1", "1.5", "²", "many", ""])
def test_a_spoilt_number_of_runs_counts_as_none(spoilt: str) -> None:
    """One copy's note, which anyone there may edit, must not end the run of all clusters."""
    notes = orphan_annotations(DUE) | {annotations.ORPHANED_RUNS: spoilt}
    assert orphan_record_of(f.target_secret(annotations=notes), f.US) == OrphanRecord()


def test_notes_say_what_was_noted() -> None:
    """What is written on a copy is read again as it was."""
    found = orphan_record_of(
        f.target_secret(
            f.certificate("web-0"), annotations={annotations.SOURCE: DUE.source} | orphan_annotations(DUE)
        ),
        f.US,
    )
    assert found == DUE


def broken(row: Change, **changes: Any) -> PrunePlan:
    return PrunePlan("dev", (replace(row, **changes),))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"uid": "another"}, "it is not the one that was listed"),
        ({"resource_version": None}, "it is bound to no object"),
        ({"certificate": "web-3"}, "its certificate is on OPS"),
        ({"target": SecretRef(namespace="kube-system", name="web-0")}, "a protected namespace"),
        ({"target": SecretRef(namespace="app", name="web-3")}, "it is not due"),
    ],
)
def test_a_wrong_plan_deletes_nothing(changes: dict[str, Any], rule: str) -> None:
    """Each deletion is checked once more, from the facts and not from the plan."""
    spec, report = world()
    (one,) = planned((spec, report))
    safe(one, spec, report)
    with pytest.raises(UnsafePlan, match=rule):
        safe(broken(one.deletes[0], **changes), spec, report)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"uid": "another"}, "it is not the one that was listed"),
        ({"uid": None}, "it is bound to no object"),
        ({"certificate": "web-3"}, "its certificate is on OPS"),
        ({"target": SecretRef(namespace="app", name="web-3")}, "its record differs"),
        ({"absence": replace(DUE, since=NOW - 2 * DAY, seen=NOW, runs=2)}, "its record differs"),
        ({"absence": replace(DUE, seen=NOW, runs=3)}, "its record differs"),
        ({"absence": replace(DUE, seen=NOW + DAY, runs=2)}, "its record differs"),
    ],
)
def test_a_wrong_note_is_not_made(changes: dict[str, Any], rule: str) -> None:
    """Each note is checked once more, too: it says that one more run, of now, has found the same."""
    spec, report = world(absence=replace(DUE, runs=1))
    (one,) = planned((spec, report))
    safe(one, spec, report)
    wrong = PrunePlan("dev", records=(replace(one.records[0], **changes),))
    with pytest.raises(UnsafePlan, match=rule):
        safe(wrong, spec, report)


@pytest.mark.parametrize("absence", [DUE, replace(DUE, runs=1)], ids=["a deletion", "a note"])
def test_where_something_comes_first_nothing_is_deleted(absence: OrphanRecord) -> None:
    """A refusal here, a newer copy anywhere, a failure and a wrong clock are checked before each deletion."""
    spec, report = world(absence=absence)
    (one,) = planned((spec, report))
    failed = report.model_copy(
        update={"failures": (Failure(code=FailureCode.TIMEOUT, cluster="dev", what="x"),)}
    )
    for facts, more in (
        (with_row(report, Reason.EXPIRED, Action.KEEP), {}),
        (failed, {}),
        (report, {"newer": "x"}),
        (report, {"problem": "x"}),
    ):
        with pytest.raises(UnsafePlan, match="nothing may be recorded or deleted"):
            safe(one, spec, facts, **more)


def test_what_nobody_noted_is_not_due() -> None:
    """A plan that deletes a copy whose row bears no note at all is refused."""
    spec, report = world()
    (one,) = planned((spec, report))
    rows = tuple(replace(row, absence=None) for row in report.changes)
    with pytest.raises(UnsafePlan, match="it is not due"):
        safe(one, spec, report.model_copy(update={"changes": rows}))


@pytest.mark.parametrize("change", [{"certificate": "web-0"}, {"dry_run": True}], ids=["for one", "dry run"])
def test_a_run_for_a_part_may_not_delete(change: dict[str, Any]) -> None:
    """Nor may a dry run, whoever calls."""
    spec, report = world()
    (one,) = planned((spec, report))
    with pytest.raises(UnsafePlan, match="may not prune"):
        safe(one, replace(spec, parameters=RunParameters(**change)), report)


def test_more_deletions_than_allowed_are_no_plan() -> None:
    """The limit is checked once more, too."""
    spec, report = world(10, 3)
    (one,) = planned((spec, report))
    safe(one, spec, report)
    with pytest.raises(UnsafePlan, match="more deletions"):
        safe(one._replace(deletes=one.deletes * 2), spec, report)


def test_the_report_says_what_was_deleted() -> None:
    """A deleted copy is counted as such, and holds nothing any more."""
    _, report = world()
    (one,) = planned(world())
    done = with_outcome(report, [replace(one.deletes[0], applied=True)], ())
    undone = with_outcome(report, one.deletes, ())
    assert (done.counts[Action.DELETE], undone.counts[Action.DELETE]) == (1, 0)
    assert [row.effective_version for row in done.changes if row.action is Action.DELETE] == [None]
    assert done.ok
    assert undone.ok


def test_a_refused_request_hides_nothing_from_pruning() -> None:
    """Its row may name the target of a copy: that copy's row stays in the report, and is what is checked."""
    spec, report = world()
    (one,) = planned((spec, report))
    gone = replace(
        one.deletes[0], action=Action.NOTHING, reason=Reason.REQUEST_CONFLICT, certificate="asks", uid=None
    )
    with_request = report.model_copy(update={"changes": (*report.changes, gone)})
    safe(one, spec, with_request)
    assert set(with_outcome(with_request, (), ()).changes) == {*report.changes, gone}
    assert len(with_outcome(with_request, one.deletes, ()).changes) == len(report.changes) + 1
