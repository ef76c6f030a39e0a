"""Waves: who may follow whom, and what can't wait."""

from datetime import timedelta
from typing import Any

import pytest

from tasks import rollout
from tasks.config.load import parse_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    ListedSecret,
    Plan,
    SecretRef,
    SourceSnapshot,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.plan import waves
from tasks.plan.spec import KnownEntry, SyncSpec, specs_for
from tasks.plan.waves import Share
from tests.support.factories import NOW, certificate, rejection, snapshot, version

NAMES = [f"web-{number}-tls" for number in range(10)]
OPS = snapshot(*(certificate(name) for name in NAMES))


def document(**settings: Any) -> dict[str, Any]:
    route = {"certificates": ["web-*"], "namespaces": ["app-a"]}
    clusters = [
        {"name": name, "context": name, "wave": wave, "hostnames": ["*.example.org"], "routes": [route]}
        for name, wave in (("prd", 3), ("dev", 1), ("rct", 2), ("qa", 1))
    ]
    return {"owner": "ops", "source": {"namespace": "certificates-ops"}, "clusters": clusters, **settings}


def specs(
    found: SourceSnapshot = OPS, certificate: str | None = None, **settings: Any
) -> tuple[SyncSpec, ...]:
    config = parse_config(document(**settings))
    return specs_for(config, config.clusters, found, RunParameters(certificate=certificate))


def names(wave: tuple[SyncSpec, ...]) -> list[str]:
    return [spec.cluster.name for spec in wave]


def row(name: str, action: Action = Action.UPDATE, *, applied: bool = False, **values: Any) -> Change:
    reason = values.pop("reason", Reason.CERTIFICATE_RENEWED)
    target = SecretRef(namespace="app-a", name=name)
    return Change(action=action, reason=reason, target=target, certificate=name, applied=applied, **values)


def report(cluster: str, bad: int = 0, **values: Any) -> ClusterReport:
    """All ten copies written, but for so many."""
    rows = tuple(row(name, applied=number >= bad) for number, name in enumerate(NAMES))
    return ClusterReport(cluster=cluster, changes=values.pop("changes", rows), **values)


def at_rest(*names: str) -> tuple[Change, ...]:
    return tuple(row(name, Action.KEEP, reason=Reason.IN_SYNC) for name in names)


@pytest.mark.parametrize(("asked", "wanted"), [(None, 1), ("web-old-tls", 1), ("web-1-tls", 1)])
def test_what_a_glob_finds_unfit_is_not_wanted(asked: str | None, wanted: int) -> None:
    """A share counts fit certificates, and an unfit one only where a person names it."""
    found = snapshot(certificate("web-1-tls"), rejection("web-old-tls"))
    (spec, *_) = specs(found, certificate=asked)
    assert waves.share_of([spec], []).wanted == wanted


def listed(name: str) -> ListedSecret:
    return ListedSecret(
        ref=SecretRef(namespace="certificates-ops", name=name), uid=name, resource_version="7", written="then"
    )


def test_of_what_was_only_listed_counts_what_has_a_row() -> None:
    """A CA's Secret that a glob takes in is read and refused; a resumed run remembers that no more."""
    (spec, *_) = specs(snapshot(listed("web-1-tls"), listed("web-ca")))
    well = report(spec.cluster.name, changes=at_rest("web-1-tls"))
    assert waves.share_of([spec], [well]) == waves.Share(1, 0)
    spec.memory.entries["web-ca"] = KnownEntry(listed("web-ca"), rejection("web-ca", Reason.IS_CA), 0)
    assert waves.share_of([spec], [well]) == waves.Share(1, 0)


def test_of_what_was_only_listed_all_counts_where_the_cluster_failed() -> None:
    """Nobody knows what it lacks; the same for a cluster without a report."""
    (spec, *_) = specs(snapshot(listed("web-1-tls"), listed("web-2-tls")))
    failed = report(spec.cluster.name, changes=at_rest("web-1-tls"), failures=(DOWN,))
    assert waves.share_of([spec], [failed]) == waves.Share(2, 1)
    assert waves.share_of([spec], []) == waves.Share(2, 2)


DOWN = Failure(code=FailureCode.UNREACHABLE, cluster="dev", what="list secrets")


def test_the_lower_numbers_go_first() -> None:
    """Within a wave, the order is that of the configuration."""
    assert [names(wave) for wave in waves.waves_of(specs())] == [["dev", "qa"], ["rct"], ["prd"]]


def test_without_numbers_there_is_one_wave() -> None:
    """As before there were waves."""
    plain = document()
    for cluster in plain["clusters"]:
        del cluster["wave"]
    config = parse_config(plain)
    made = specs_for(config, config.clusters, OPS, RunParameters())
    assert [names(wave) for wave in waves.waves_of(made)] == [["prd", "dev", "rct", "qa"]]


BAD = {
    "all is well": ((report("dev"), report("qa")), True),
    "two of twenty": ((report("dev", 2), report("qa")), True),
    "four of twenty is the share itself": ((report("dev", 2), report("qa", 2)), True),
    "five of twenty": ((report("dev", 5), report("qa")), False),
    "a cluster that is down fails with all its copies": (
        (report("dev", changes=(), failures=(DOWN,)), report("qa")),
        False,
    ),
    "refusals count": (
        (
            report("dev", changes=tuple(row(n, Action.REFUSE, reason=Reason.OWNED_BY_OTHER) for n in NAMES)),
            report("qa"),
        ),
        False,
    ),
    "in sync is as good as written": (
        (
            report("dev", changes=tuple(row(n, Action.KEEP, reason=Reason.IN_SYNC) for n in NAMES)),
            report("qa"),
        ),
        True,
    ),
    "what a dry run would write": ((report("dev", 10, dry_run=True), report("qa", 10, dry_run=True)), True),
    "rows that nobody wants make nothing better": (
        (
            report("dev", changes=at_rest(*(f"old-{name}" for name in NAMES))),
            report("qa"),
        ),
        False,
    ),
}


@pytest.mark.parametrize(("reports", "well"), BAD.values(), ids=BAD)
def test_the_next_wave_begins_if_few_copies_failed(reports: tuple[ClusterReport, ...], well: bool) -> None:
    """At most the configured share, a fifth by default, of all copies wanted in the wave."""
    assert waves.went_well(waves.waves_of(specs())[0], reports) is well


def test_what_a_discovered_cluster_lacks_holds_nobody_back() -> None:
    """Nobody may stop PRD by announcing a cluster; of the others, all copies count."""
    dev, qa = waves.waves_of(specs())[0]
    lack = Failure(code=FailureCode.NOT_PINNED, cluster="qa", what="get secret")
    lacking = ClusterReport(cluster="qa", lacks=lack)
    assert waves.share_of([dev, qa], [report("dev", 1), lacking]) == waves.Share(10, 1)
    assert waves.share_of([qa], [lacking]) == waves.Share(0, 0)


def test_the_share_is_counted_to_the_copy() -> None:
    """As a run tells it to its fleet: what is wanted, and what is not there; nothing of nothing at first."""
    dev, qa = waves.waves_of(specs())[0]
    assert waves.share_of([dev, qa], [report("dev", 3), report("qa")]) == waves.Share(20, 3)
    assert waves.share_of([dev, qa], [report("qa")]) == waves.Share(20, 10)
    assert waves.Share() == waves.Share(0, 0)


def test_a_wave_of_one_cluster_is_judged_like_any() -> None:
    """PRD alone in its wave, whichever it is."""
    (rct,) = waves.waves_of(specs())[1]
    assert [waves.went_well([rct], [report("rct", bad)]) for bad in (2, 3)] == [True, False]


def test_who_waits_hears_how_the_wave_before_went() -> None:
    """Its number, its copies, and the setting; or that somebody asked for what is urgent only."""
    wave = waves.waves_of(specs())[0]
    why = waves.hold_reason(wave, (report("dev", 5), report("qa")))
    assert why == "in wave 1, 5 of 20 copies are not as on OPS: more than waves.maxFailedShare, 0.2"
    (prd,) = waves.held_back(waves.waves_of(specs())[2], waves.Hold(why))
    assert waves.hold_failure(prd, 1, 2).detail == why
    (asked,) = waves.held_back([prd], waves.Hold(""))
    assert waves.hold_failure(asked, 1, 2).detail == "urgent_only was asked for"
    assert waves.hold_reason(wave, (report("dev"), report("qa"))) == ""


def test_the_share_is_a_setting() -> None:
    """With none allowed, one copy is too many."""
    strict = specs(waves={"maxFailedShare": 0})
    assert waves.went_well(waves.waves_of(strict)[0], (report("dev"), report("qa")))
    assert not waves.went_well(waves.waves_of(strict)[0], (report("dev", 1), report("qa")))


def test_where_nothing_is_wanted_nothing_can_fail() -> None:
    """An empty OPS holds back nobody; nor does a run for one certificate count the others."""
    empty = ClusterReport(cluster="dev"), ClusterReport(cluster="qa")
    assert waves.went_well(waves.waves_of(specs(snapshot()))[0], empty)
    one = waves.waves_of(specs(certificate="web-3-tls"))[0]
    done = tuple(ClusterReport(cluster=n, changes=(row("web-3-tls", applied=True),)) for n in ("dev", "qa"))
    assert waves.went_well(one, done)


def test_what_ends_within_a_day_does_not_wait() -> None:
    """Nor what has ended; a copy that is not there yet does."""
    soon, just = version("b2", age=89.5), version("b5", age=89)
    later, over = version("b3", age=88.5), version("b4", age=91)
    plan = Plan(
        cluster="prd",
        changes=(
            row("a-tls", old=soon),
            row("b-tls", old=later),
            row("c-tls", old=over),
            row("d-tls", Action.CREATE, reason=Reason.MISSING_ON_TARGET),
            row("e-tls", Action.KEEP, reason=Reason.IN_SYNC, old=soon),
            row("f-tls", old=just),
        ),
    )
    to_do, waiting = waves.only_urgent(plan, NOW)
    assert [change.target.name for change in to_do.writes] == ["a-tls", "c-tls"]
    assert [change.target.name for change in waiting] == ["b-tls", "d-tls", "f-tls"]  # f: a whole day is left
    assert just.not_after - NOW == waves.URGENT
    assert [change.target.name for change in to_do.changes] == ["a-tls", "c-tls", "e-tls"]
    assert timedelta(hours=24) == waves.URGENT


def test_told_to_stop_the_waves_that_follow_do_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their clusters are in the report all the same, as interrupted."""
    told, begun = KeyboardInterrupt(), list[list[str]]()

    def stopped(wave: tuple[SyncSpec, ...], _: object) -> tuple[tuple[ClusterReport, ...], BaseException]:
        begun.append(names(wave))
        return (report("dev"), report("qa")), told

    monkeypatch.setattr(rollout, "sync_wave", stopped)
    reports, signal = rollout.sync_clusters(specs())
    assert signal is told
    assert begun == [["dev", "qa"]]
    assert [one.cluster for one in reports] == ["dev", "qa", "rct", "prd"]
    assert [[failure.code for failure in one.failures] for one in reports[2:]] == [
        [FailureCode.INTERRUPTED]
    ] * 2


def test_a_held_back_order_is_another_order() -> None:
    """A resumed run does not take what a cluster did while it waited for all that it is to do."""
    (spec,) = waves.waves_of(specs())[2]
    (held,) = waves.held_back([spec], waves.Hold("in wave 1, all is broken"))
    assert held.urgent_only
    assert held.digest != spec.digest


def test_to_look_first_is_another_order_too() -> None:
    """A resumed run takes what a cluster did before the look neither for all, nor for what is held back."""
    (spec,) = waves.waves_of(specs())[2]
    (first,) = waves.looking_first([spec])
    (held,) = waves.held_back([spec], waves.Hold("in wave 1, all is broken"))
    assert first.urgent_only
    assert len({spec.digest, first.digest, held.digest}) == 3


def test_who_waited_for_the_look_is_held_with_its_code() -> None:
    """The writes that wait become a failure; a report without any stays as it is."""
    (spec,) = waves.held_back(waves.waves_of(specs())[2], waves.Hold("qa: older", FailureCode.NOT_SERVED))
    waiting = report("prd", 3, waiting=3)
    told = waves.with_hold(spec, waiting)
    assert [(one.code, one.what, one.detail) for one in told.failures] == [
        (FailureCode.NOT_SERVED, "write 3 of 10 secrets", "qa: older")
    ]
    assert told.waiting == 0
    assert waves.with_hold(spec, report("prd")) == report("prd")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"waves": {"maxFailedShare": 20}}, "waves.maxFailedShare: must be below 1; it is a share: 0.2"),
        ({"waves": {"maxFailedShare": -0.1}}, "waves.maxFailedShare: "),
        ({"waves": {"share": 0.1}}, "waves.share: unknown key"),
        ({"wave": 0}, "clusters[0] (prd).wave: "),
        ({"wave": 1.5}, "clusters[0] (prd).wave: must be a whole number"),
        ({"wave": "2"}, "clusters[0] (prd).wave: must be a whole number, without quotes"),
        ({"wave": True}, "clusters[0] (prd).wave: "),
    ],
)
def test_what_is_no_wave_is_refused(change: dict[str, Any], fault: str) -> None:
    """With its path in the file."""
    given = document()
    if "wave" in change:
        given["clusters"][0].update(change)
    else:
        given.update(change)
    with pytest.raises(ConfigError) as error:
        parse_config(given)
    assert fault in str(error.value)


def test_the_first_wave_is_that_of_the_clusters_awake() -> None:
    """Where DEV is suspended, the watcher serves who comes next."""
    given = document()
    assert [c.name for c in parse_config(given).first_wave] == ["dev", "qa"]
    for cluster in given["clusters"]:
        cluster["suspended"] = cluster["wave"] == 1
    config: SyncConfig = parse_config(given)
    assert [c.name for c in config.first_wave] == ["rct"]
    for cluster in given["clusters"]:
        cluster["suspended"] = True
    assert parse_config(given).first_wave == ()


@pytest.mark.parametrize("share", [Share(0, 0), Share(7, 0), Share(7, 1), Share(7, 7)], ids=str)
def test_the_share_of_a_group_is_read_from_its_labels(share: Share) -> None:
    """What a group's run writes into its labels is what the fleet reads."""
    assert waves.share_in(waves.labels_of(share)) == share


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (7, 8),
        (7, -1),
        (-1, -1),
        (None, 0),
        (7, None),
        ("7", 0),
        (7, "0"),
        (7.0, 0),
        (7, 0.0),
        (True, 0),
        (7, False),
    ],
)
def test_labels_that_make_no_sense(wanted: object, missing: object) -> None:
    """Anyone who may write to Prefect may change labels: then the share of the group is unknown."""
    assert waves.share_in({waves.WANTED: wanted, waves.MISSING: missing}) is None
    assert waves.share_in({}) is None


@pytest.mark.parametrize("number", [0, 1, 7])
def test_what_is_not_served_is_read_from_the_labels(number: int) -> None:
    """Beside the share; a run that did not look has no such label."""
    labels = waves.labels_of(Share(7, 1), number)
    assert (waves.share_in(labels), waves.not_served_in(labels)) == (Share(7, 1), number)
    assert waves.not_served_in(waves.labels_of(Share(7, 1))) is None


@pytest.mark.parametrize("wrong", [-1, True, "0", 0.0, None])
def test_a_number_that_makes_no_sense_is_unknown(wrong: object) -> None:
    """As that of a share: later waves then wait."""
    assert waves.not_served_in({waves.NOT_SERVED: wrong}) is None
