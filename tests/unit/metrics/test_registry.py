"""The metrics of a process: what a report makes of them, what vanishes, and that none says too much."""

import re
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    Requests,
    RunReport,
    SecretRef,
    SourceSnapshot,
)
from tasks.domain.reasons import Reason
from tasks.kube import request_counts
from tasks.metrics import definitions, registry
from tasks.metrics.definitions import Family
from tasks.metrics.samples import Parts, Samples, by_part, merge, run_samples, without_duplicates
from tasks.watch.health import Heartbeat, serve
from tests.support.factories import NOW, certificate, issuance, rejection, run_report, snapshot, version

ROOT = Path(__file__).parents[3]
FAMILIES = {name: one for name, one in vars(definitions).items() if isinstance(one, Family)}
CANARY = "nobody-may-see-this"
OLD, NEW = version("a1", age=70), version("b2", age=10)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a new process."""
    monkeypatch.setattr(registry, "_run", [])
    monkeypatch.setattr(registry, "_state", {})
    monkeypatch.setattr(registry, "_last_heard", {})


def row(action: Action, reason: Reason, name: str = "web-tls", **values: Any) -> Change:
    target = SecretRef(namespace="app-a", name=name)
    given = {"old": OLD, "new": NEW, "certificate": name, **values}
    return Change(action=action, reason=reason, target=target, **given)


KEPT = row(Action.KEEP, Reason.IN_SYNC, old=NEW)
REFUSED = row(Action.REFUSE, Reason.IMMUTABLE, "api-tls")
DOWN = Failure(code=FailureCode.UNREACHABLE, cluster="rct", what="get namespace kube-system", transient=True)


def report(*clusters: ClusterReport, **values: Any) -> RunReport:
    given: dict[str, Any] = {
        "snapshot": snapshot(certificate("web-tls", version=NEW)),
        "now": NOW,
        "began": NOW - timedelta(seconds=7),
        "owner": "ops",
        "configured": ("dev", "rct"),
    }
    return run_report(*clusters, **{**given, **values})


def cluster(name: str, *changes: Change, **values: Any) -> ClusterReport:
    return ClusterReport(cluster=name, changes=changes, **values)


def groups_of(given: RunReport) -> Parts:
    """All that a report tells, where nothing was known before."""
    return {**merge({}, given), **by_part(run_samples(given))}


def values(known: Parts, family: Family) -> dict[tuple[str, ...], float]:
    found = [sample for told in known.values() for sample in told if sample.family is family]
    assert len({sample.labels for sample in found}) == len(found)
    return {sample.labels: sample.value for sample in found}


def told(family: Family) -> dict[tuple[str, ...], float]:
    """What the process tells of a family, by its labels."""
    text = registry.exposition()[0].decode()
    found = [one for metric in text_string_to_metric_families(text) for one in metric.samples]
    return {
        tuple(one.labels[name] for name in family.labels): one.value
        for one in found
        if one.name == family.name
    }


def test_the_page_lists_each_metric_and_no_other() -> None:
    """docs/metrics.md has name, labels and meaning of each metric as the code has them."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `tls_sync_")]
    assert rows == [
        f"| `{one.name}` | {', '.join(f'`{label}`' for label in one.labels) or '-'} | {one.help} |"
        for one in FAMILIES.values()
    ]


def test_names_are_prometheus_names() -> None:
    """Each begins with tls_sync_ and ends with its unit; only counters end with _total."""
    for one in FAMILIES.values():
        assert re.fullmatch(r"tls_sync_[a-z]+(_[a-z]+)*", one.name)
        assert one.name.endswith("_total") == (one in definitions.COUNTERS)
        assert one.name.endswith("_seconds") == any(w in one.name for w in ("timestamp", "duration"))
    assert len({one.name for one in FAMILIES.values()}) == len(FAMILIES)


def test_a_cluster_that_is_served_is_a_success() -> None:
    """Its last success is the run's end; its certificates are counted by action and reason."""
    written = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "api-tls", applied=True)
    groups = groups_of(report(cluster("dev", KEPT, written)))
    assert values(groups, definitions.LAST_SUCCESS) == {("ops", "dev"): NOW.timestamp()}
    assert values(groups, definitions.CLUSTER_SUCCESS) == {("ops", "dev"): 1}
    assert values(groups, definitions.CERTIFICATES) == {
        ("ops", "dev", "keep", "InSync"): 1,
        ("ops", "dev", "update", "CertificateRenewed"): 1,
    }
    assert values(groups, definitions.IN_SYNC) == {("ops", "dev"): 2}
    assert values(groups, definitions.REFUSED) == values(groups, definitions.CLUSTER_FAILURES) == {}
    assert values(groups, definitions.RUN_SECONDS) == {("ops",): 7}


def test_a_failed_run_takes_away_no_last_success() -> None:
    """What tells of the last success is replaced by a success alone."""
    first = merge({}, report(cluster("rct", KEPT)))
    later = NOW + timedelta(hours=1)
    second = merge(first, report(cluster("rct", failures=(DOWN,)), now=later))
    assert values(second, definitions.LAST_SUCCESS) == {("ops", "rct"): NOW.timestamp()}
    assert values(second, definitions.CLUSTER_SUCCESS) == {("ops", "rct"): 0}
    assert values(second, definitions.CLUSTER_FAILURES) == {("ops", "rct", "Unreachable"): 1}


def test_what_an_unseen_cluster_holds_stays_known() -> None:
    """Its copies are told as they were last seen, so that OPS's renewal shows them to be old."""
    first = merge({}, report(cluster("rct", KEPT)))
    second = merge(first, report(cluster("rct", failures=(DOWN,))))
    assert values(first, definitions.COPY_END) == values(second, definitions.COPY_END) != {}


def test_healed_failures_vanish() -> None:
    """A run that heals leaves no series of a failure or refusal behind."""
    registry.observe(report(cluster("dev", REFUSED), cluster("rct", failures=(DOWN,))))
    assert told(definitions.REFUSED) == {("ops", "dev", "Immutable"): 1}
    assert told(definitions.CLUSTER_FAILURES) == {("ops", "rct", "Unreachable"): 1}
    registry.observe(report(cluster("dev", KEPT), cluster("rct", KEPT)))
    assert told(definitions.REFUSED) == told(definitions.CLUSTER_FAILURES) == {}
    assert set(told(definitions.LAST_SUCCESS)) == {("ops", "dev"), ("ops", "rct")}


def test_a_run_of_one_cluster_leaves_the_others() -> None:
    """An ad-hoc run replaces the series of its cluster alone."""
    registry.observe(report(cluster("dev", KEPT), cluster("rct", REFUSED)))
    registry.observe(report(cluster("dev", KEPT), now=NOW + timedelta(hours=1)))
    assert told(definitions.CLUSTER_SUCCESS) == {("ops", "dev"): 1, ("ops", "rct"): 0}
    assert told(definitions.CLUSTER_RUN_END)["ops", "rct"] == NOW.timestamp()


@pytest.mark.parametrize("change", [{"configured": ("dev",)}, {"suspended": ("rct",)}], ids=str)
def test_series_of_a_cluster_that_is_gone_vanish(change: dict[str, Any]) -> None:
    """The next run of any cluster removes those of one that left the configuration, or is suspended."""
    registry.observe(report(cluster("dev", KEPT), cluster("rct", KEPT)))
    registry.observe(report(cluster("dev", KEPT), **change))
    for family in (definitions.LAST_SUCCESS, definitions.CLUSTER_SUCCESS, definitions.COPY_END):
        assert {labels[1] for labels in told(family)} == {"dev"}
    assert (("ops", "rct") in told(definitions.SUSPENDED)) == ("suspended" in change)


def test_a_group_keeps_its_own_clusters_alone() -> None:
    """What was known of a cluster that has gone to another group vanishes from the former one."""
    first = merge({}, report(cluster("dev", KEPT), cluster("rct", KEPT), group="eu", members=("dev", "rct")))
    second = merge(first, report(cluster("dev", KEPT), group="eu", members=("dev",)))
    assert {part.cluster for part in first} == {"", "dev", "rct"}
    assert {part.cluster for part in second} == {"", "dev"}


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, True),
        ({"configured": ("dev", "rct", "prd")}, False),
        ({"configured": ("dev", "rct", "prd"), "suspended": ("prd",)}, True),
        ({"group": "eu"}, False),
        ({"certificate": "web-tls"}, False),
        ({"snapshot": SourceSnapshot(failure=DOWN)}, False),
    ],
    ids=str,
)
def test_a_whole_run_is_for_all(change: dict[str, Any], whole: bool) -> None:
    """For all clusters that are not suspended, and all certificates."""
    assert report(cluster("dev", KEPT), cluster("rct", KEPT), **change).covers_everything is whole


def test_a_fleet_keeps_each_part_once() -> None:
    """What a group tells is not kept a second time; clusters and groups that are gone are not kept at all."""

    def samples(*names: str) -> Samples:
        known = merge({}, report(*(cluster(name, KEPT) for name in names), configured=names))
        return tuple(sample for told in known.values() for sample in told)

    held = {"all": samples("dev", "rct", "old"), "eu": samples("dev", "moved"), "gone": samples("rct")}
    kept = without_duplicates(held, {"all": ["dev", "rct"], "eu": ["dev"], "gone": []}, "all")
    assert {job: {part.cluster for part in by_part(told)} for job, told in kept.items()} == {
        "all": {"rct"},
        "eu": {"", "dev"},
        "gone": set(),
    }


def test_series_of_a_former_owner_vanish() -> None:
    """A process tells of one owner: that of the last report."""
    registry.observe(report(cluster("dev", KEPT)))
    registry.observe(report(cluster("rct", KEPT), owner="stage"))
    assert {labels[0] for labels in told(definitions.CLUSTER_SUCCESS)} == {"stage"}


def test_what_was_told_can_be_taken_up_again() -> None:
    """Samples that come back from where they were kept are the parts that they were."""
    known = merge({}, report(cluster("dev", KEPT), cluster("rct", REFUSED, credential_ends=NOW)))
    assert by_part(sample for told in known.values() for sample in told) == known
    again: Samples = tuple(sample for told in known.values() for sample in told)
    assert merge(by_part(again), report(cluster("dev", KEPT))) == merge(known, report(cluster("dev", KEPT)))


def test_a_dry_run_tells_nothing() -> None:
    """It is no success and no failure, and leaves everything as it was."""
    registry.observe(report(cluster("dev", KEPT)))
    before = registry.exposition()
    registry.observe(report(cluster("dev", REFUSED), dry_run=True, now=NOW + timedelta(hours=1)))
    registry.observe(report(cluster("dev", REFUSED), dry_run=True, certificate="api-tls"))
    assert registry.exposition() == before


def test_a_run_for_one_certificate_is_no_success_of_a_cluster() -> None:
    """Nobody looked at the others: it changes the copies of this certificate and no verdict."""
    old = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "api-tls")
    registry.observe(report(cluster("dev", KEPT, old)))
    written = replace(old, applied=True)
    registry.observe(report(cluster("dev", written), certificate="api-tls", now=NOW + timedelta(hours=1)))
    assert told(definitions.LAST_SUCCESS) == {("ops", "dev"): NOW.timestamp()}
    ends = told(definitions.COPY_END)
    assert {labels[-1] for labels in ends} == {"web-tls", "api-tls"}
    assert set(ends.values()) == {NEW.not_after.timestamp()}


def test_a_run_without_ops_says_so_and_leaves_the_rest() -> None:
    """OPS can't be read: a failure of the run, by its code; what is known of clusters stays."""
    registry.observe(report(cluster("dev", KEPT)))
    failure = DOWN.model_copy(update={"cluster": "OPS", "code": FailureCode.UNAUTHORIZED})
    registry.observe(report(snapshot=SourceSnapshot(failure=failure)))
    assert told(definitions.RUN_FAILURES) == {("ops", "Unauthorized"): 1}
    assert told(definitions.RUN_SUCCESS) == {("ops",): 0}
    assert set(told(definitions.SOURCE_END)) == {("ops", "web-tls")}
    registry.observe(report(cluster("dev", KEPT)))
    assert told(definitions.RUN_FAILURES) == {}


def test_a_copy_is_what_the_target_holds_after_the_run() -> None:
    """The new version where it was written, the old one where not; none where it is not ours."""
    held = groups_of(
        report(
            cluster(
                "dev",
                row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "a-tls", applied=True),
                row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "b-tls"),
                row(Action.CREATE, Reason.MISSING_ON_TARGET, "c-tls", old=None),
                row(Action.REFUSE, Reason.OWNED_BY_ANOTHER_OWNER, "d-tls"),
                row(Action.KEEP, Reason.EXPIRED, "e-tls", new=None),
            )
        )
    )
    ends = {labels[-1]: value for labels, value in values(held, definitions.COPY_END).items()}
    new, old = NEW.not_after.timestamp(), OLD.not_after.timestamp()
    assert ends == {"a-tls": new, "b-tls": old, "e-tls": old}
    assert values(held, definitions.PENDING) == {("ops", "dev"): 2}
    assert values(held, definitions.REFUSED) == {
        ("ops", "dev", "Expired"): 1,
        ("ops", "dev", "OwnedByAnotherOwner"): 1,
    }


def test_beyond_a_cap_copies_are_counted_and_not_told() -> None:
    """The number of series is bounded; those that end first have one, and the rest is a number."""
    rows = [
        row(Action.KEEP, Reason.IN_SYNC, f"n{number}-tls", old=version(age=number / 100), new=None)
        for number in range(definitions.MAX_SERIES + 7)
    ]
    certificates = [certificate(one.certificate, version=one.old) for one in rows]
    groups = groups_of(report(cluster("dev", *rows), snapshot=snapshot(*certificates)))
    for family, dropped in (
        (definitions.COPY_END, definitions.COPIES_DROPPED),
        (definitions.SOURCE_END, definitions.SOURCE_DROPPED),
    ):
        names = {labels[-1] for labels in values(groups, family)}
        assert len(names) == definitions.MAX_SERIES
        assert names == {f"n{number}-tls" for number in range(7, definitions.MAX_SERIES + 7)}
        assert set(values(groups, dropped).values()) == {7}


def test_many_clusters_share_a_bound() -> None:
    """All copies of all clusters together have a bounded number of series; each cluster has some."""
    rows = [row(Action.KEEP, Reason.IN_SYNC, f"n{number}-tls", old=OLD) for number in range(200)]
    for clusters in (50, 1000):
        names = ("dev", *(f"c{n}" for n in range(1, clusters)))
        groups = groups_of(report(cluster("dev", *rows), configured=names))
        share = max(definitions.MIN_COPIES, definitions.MAX_COPIES // clusters)
        assert len(values(groups, definitions.COPY_END)) == share
        assert values(groups, definitions.COPIES_DROPPED) == {("ops", "dev"): 200 - share}


def test_rejections_requests_and_credentials_are_told() -> None:
    """What OPS rejects by reason, requests by verb and code, and the end of each credential."""
    ends = NOW + timedelta(days=2)
    found = snapshot(rejection("a-tls"), rejection("b-tls"), credential_ends=ends)
    requests = (Requests(verb="GET", code="200", count=9), Requests(verb="PATCH", code="none", count=1))
    groups = groups_of(
        report(cluster("dev", credential_ends=ends), snapshot=found, requests=requests, began=None)
    )
    assert values(groups, definitions.SOURCE_REJECTED) == {("ops", "Expired"): 2}
    assert values(groups, definitions.RUN_REQUESTS) == {("ops", "GET", "200"): 9, ("ops", "PATCH", "none"): 1}
    assert values(groups, definitions.CREDENTIAL_END) == dict.fromkeys(
        [("ops", "dev"), ("ops", "OPS")], ends.timestamp()
    )
    assert values(groups, definitions.RUN_SECONDS) == {}


def test_what_is_not_issued_and_what_is_not_routed_is_told() -> None:
    """By reason what cert-manager has yet to issue; as one number what no route names."""
    found = snapshot(
        issuance("a-tls"), issuance("b-tls", attempts=1), unrouted_rejections=2, unrouted_issuances=1
    )
    groups = groups_of(report(cluster("dev"), snapshot=found))
    assert values(groups, definitions.SOURCE_NOT_ISSUED) == {
        ("ops", "IssuanceLate"): 1,
        ("ops", "IssuancePending"): 1,
    }
    assert values(groups, definitions.SOURCE_UNROUTED) == {("ops",): 3}


def test_the_renewal_is_told_with_each_end() -> None:
    """As cert-manager tells it, also of a copy that holds the same; else two thirds of the life."""
    renewal = NOW + timedelta(days=1)
    rows = (
        row(Action.KEEP, Reason.IN_SYNC, "a-tls", old=NEW, new=NEW),
        row(Action.KEEP, Reason.EXPIRED, "b-tls", old=OLD, new=None),
    )
    found = snapshot(certificate("a-tls", version=NEW, renewal=renewal), certificate("c-tls", version=NEW))
    groups = groups_of(report(cluster("dev", *rows), snapshot=found))
    third = timedelta(days=30)
    assert {labels[-1]: value for labels, value in values(groups, definitions.SOURCE_RENEWAL).items()} == {
        "a-tls": renewal.timestamp(),
        "c-tls": (NEW.not_after - third).timestamp(),
    }
    assert {labels[-1]: value for labels, value in values(groups, definitions.COPY_RENEWAL).items()} == {
        "a-tls": renewal.timestamp(),
        "b-tls": (OLD.not_after - third).timestamp(),
    }


def test_nothing_but_names_and_codes_is_a_label() -> None:
    """No detail, no DNS name, no fingerprint and no text of a failure gets into a metric."""
    failure = DOWN.model_copy(update={"detail": CANARY, "what": CANARY})
    bad = rejection("a-tls", detail=CANARY)
    odd = certificate("web-tls", dns_names=(CANARY,), issuer=CANARY, serial=CANARY)
    refused = replace(REFUSED, detail=CANARY)
    registry.observe(
        report(cluster("dev", refused, failures=(failure,), warnings=(CANARY,)), snapshot=snapshot(odd, bad))
    )
    assert CANARY not in registry.exposition()[0].decode()
    assert "sha256" not in registry.exposition()[0].decode()


def test_what_was_heard_and_asked_is_told() -> None:
    """The watcher's own: when OPS last said something, and requests since the process began."""
    assert told(definitions.LAST_HEARD) == {}
    registry.record_source_event("ops")
    assert told(definitions.LAST_HEARD)["ops",] > NOW.timestamp()
    with pytest.raises(RuntimeError):
        request_counts.CountingPool(Broken()).request("PUT", "https://ops.example.org")  # type: ignore[arg-type]
    assert told(definitions.API_REQUESTS)["PUT", "none"] == 1


def test_lost_records_are_counted() -> None:
    """From nothing: a counter that is not there can't be seen to grow."""
    before = told(definitions.LOST_RECORDS)[()]
    registry.count_lost_record()
    assert told(definitions.LOST_RECORDS) == {(): before + 1}


class Broken:
    def urlopen(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("no way there")


def test_the_metrics_can_be_scraped() -> None:
    """GET /metrics is answered with what was observed, also with what is observed later."""
    port = serve(0, Heartbeat(), registry.exposition).server_port
    registry.observe(report(cluster("dev", KEPT)))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert 'tls_sync_cluster_last_run_success{cluster="dev",owner="ops"} 1.0' in answer.read().decode()
