"""The metrics of a process, as Prometheus scrapes them."""

import urllib.request
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, RunReport, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.kube import request_counts
from tasks.metrics import definitions, registry
from tasks.metrics.definitions import Family
from tasks.runtime.version import version
from tasks.watch.health import Heartbeat, serve
from tests.support.factories import NOW, certificate, cluster_report, rejection, snapshot
from tests.support.metrics_example import DOWN, KEPT, NEW, REFUSED, report, row

CANARY = "nobody-may-see-this"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts with an empty registry."""
    monkeypatch.setattr(registry, "_run", [])
    monkeypatch.setattr(registry, "_state", {})
    monkeypatch.setattr(registry, "_waiting", [])
    monkeypatch.setattr(registry, "_last_heard", {})


def exposed(family: Family) -> dict[tuple[str, ...], float]:
    """Return the exposed values of a metric family, by their labels."""
    text = registry.exposition()[0].decode()
    found = [one for metric in text_string_to_metric_families(text) for one in metric.samples]
    return {
        tuple(one.labels[name] for name in family.labels): one.value
        for one in found
        if one.name == family.name
    }


def test_the_watcher_says_which_version_it_is() -> None:
    """From its start, before any report, one sample has the version as its label."""
    assert exposed(definitions.BUILD_INFO) == {(version(),): 1}
    registry.observe(report(cluster_report("dev", KEPT)))
    assert exposed(definitions.BUILD_INFO) == {(version(),): 1}


def test_series_of_past_failures_vanish() -> None:
    """A run without failures removes the series of earlier failures and refusals."""
    registry.observe(report(cluster_report("dev", REFUSED), cluster_report("rct", failures=(DOWN,))))
    assert exposed(definitions.REFUSED) == {("ops", "dev", "Immutable"): 1}
    assert exposed(definitions.CLUSTER_FAILURES) == {("ops", "rct", "Unreachable"): 1}
    registry.observe(report(cluster_report("dev", KEPT), cluster_report("rct", KEPT)))
    assert exposed(definitions.REFUSED) == exposed(definitions.CLUSTER_FAILURES) == {}
    assert set(exposed(definitions.LAST_SUCCESS)) == {("ops", "dev"), ("ops", "rct")}


def test_a_run_of_one_cluster_keeps_the_others() -> None:
    """A run of one cluster replaces the series of that cluster alone."""
    registry.observe(report(cluster_report("dev", KEPT), cluster_report("rct", REFUSED)))
    registry.observe(report(cluster_report("dev", KEPT), now=NOW + timedelta(hours=1)))
    assert exposed(definitions.CLUSTER_SUCCESS) == {("ops", "dev"): 1, ("ops", "rct"): 0}
    assert exposed(definitions.CLUSTER_RUN_END)["ops", "rct"] == NOW.timestamp()


@pytest.mark.parametrize("change", [{"configured": ("dev",)}, {"suspended": ("rct",)}], ids=str)
def test_series_of_a_cluster_that_is_gone_vanish(change: dict[str, Any]) -> None:
    """The next run of any cluster removes the series of one that is suspended or no longer configured."""
    registry.observe(report(cluster_report("dev", KEPT), cluster_report("rct", KEPT)))
    registry.observe(report(cluster_report("dev", KEPT), **change))
    for family in (definitions.LAST_SUCCESS, definitions.CLUSTER_SUCCESS, definitions.COPY_END):
        assert {labels[1] for labels in exposed(family)} == {"dev"}
    assert (("ops", "rct") in exposed(definitions.SUSPENDED)) == ("suspended" in change)


def test_series_of_a_former_owner_vanish() -> None:
    """A process exposes the series of one owner: that of the last report."""
    registry.observe(report(cluster_report("dev", KEPT)))
    registry.observe(report(cluster_report("rct", KEPT), owner="stage"))
    assert {labels[0] for labels in exposed(definitions.CLUSTER_SUCCESS)} == {"stage"}


def test_a_dry_run_changes_nothing() -> None:
    """A dry run is neither a success nor a failure."""
    registry.observe(report(cluster_report("dev", KEPT)))
    before = registry.exposition()
    registry.observe(report(cluster_report("dev", REFUSED), dry_run=True, now=NOW + timedelta(hours=1)))
    registry.observe(report(cluster_report("dev", REFUSED), dry_run=True, certificate="api-tls"))
    assert registry.exposition() == before


def test_a_run_for_one_certificate_is_no_success_of_a_cluster() -> None:
    """Such a run replaces the copies of its certificate, and not the success of the cluster."""
    old = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "api-tls")
    registry.observe(report(cluster_report("dev", KEPT, old)))
    written = replace(old, applied=True)
    registry.observe(
        report(cluster_report("dev", written), certificate="api-tls", now=NOW + timedelta(hours=1))
    )
    assert exposed(definitions.LAST_SUCCESS) == {("ops", "dev"): NOW.timestamp()}
    ends = exposed(definitions.COPY_END)
    assert {labels[-1] for labels in ends} == {"web-tls", "api-tls"}
    assert set(ends.values()) == {NEW.not_after.timestamp()}


def test_a_run_without_ops_is_a_failure_and_keeps_the_rest() -> None:
    """If OPS can't be read, the run has a failure with its code; the series of clusters stay."""
    registry.observe(report(cluster_report("dev", KEPT)))
    failure = DOWN.model_copy(update={"cluster": "OPS", "code": FailureCode.UNAUTHORIZED})
    registry.observe(report(snapshot=SourceSnapshot(failure=failure)))
    assert exposed(definitions.RUN_FAILURES) == {("ops", "Unauthorized"): 1}
    assert exposed(definitions.RUN_SUCCESS) == {("ops",): 0}
    assert set(exposed(definitions.SOURCE_END)) == {("ops", "web-tls")}
    registry.observe(report(cluster_report("dev", KEPT)))
    assert exposed(definitions.RUN_FAILURES) == {}


def test_nothing_but_names_and_codes_is_a_label() -> None:
    """No detail, DNS name, fingerprint or text of a failure is in a metric."""
    failure = DOWN.model_copy(update={"detail": CANARY, "what": CANARY})
    bad = rejection("a-tls", detail=CANARY)
    odd = certificate("web-tls", dns_names=(CANARY,), issuer=CANARY, serial=CANARY)
    refused = replace(REFUSED, detail=CANARY)
    registry.observe(
        report(
            cluster_report("dev", refused, failures=(failure,), warnings=(CANARY,)),
            snapshot=snapshot(odd, bad),
        )
    )
    assert CANARY not in registry.exposition()[0].decode()
    assert "sha256" not in registry.exposition()[0].decode()


def test_the_watcher_has_metrics_of_its_own() -> None:
    """They are the time of OPS's last event, and the requests since the process started."""
    assert exposed(definitions.LAST_HEARD) == {}
    registry.record_source_event("ops")
    assert exposed(definitions.LAST_HEARD)["ops",] > NOW.timestamp()
    with pytest.raises(RuntimeError):
        request_counts.CountedConnections(Broken()).request("PUT", "https://ops.example.org")  # type: ignore[arg-type]
    assert exposed(definitions.API_REQUESTS)["PUT", "none"] == 1


def test_lost_records_are_counted() -> None:
    """The counter starts at zero, so that its first increase is visible."""
    before = exposed(definitions.LOST_RECORDS)[()]
    registry.count_lost_record()
    assert exposed(definitions.LOST_RECORDS) == {(): before + 1}


class Broken:
    def request(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("no way there")


def test_the_metrics_can_be_scraped() -> None:
    """The response to GET /metrics has what was observed, also after the server started."""
    port = serve(0, Heartbeat(), registry.exposition).server_port
    registry.observe(report(cluster_report("dev", KEPT)))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert 'tls_sync_cluster_last_run_success{cluster="dev",owner="ops"} 1.0' in answer.read().decode()


RENEWED = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, applied=True)
DELETED = row(Action.DELETE, Reason.GONE_FROM_SOURCE, applied=True)
SEVERAL = [
    report(cluster_report("dev", KEPT), snapshot=snapshot(certificate("web-tls", content="a1"))),
    report(
        cluster_report("dev", REFUSED),
        snapshot=snapshot(certificate("web-tls", content="b2")),
        certificate=REFUSED.certificate,
    ),
    report(cluster_report("dev", RENEWED), cluster_report("rct", RENEWED), certificate="web-tls"),
    report(cluster_report("dev", DELETED), certificate="web-tls"),
    report(cluster_report("rct", failures=(DOWN,)), certificate="web-tls"),
    report(cluster_report("rct", KEPT), snapshot=snapshot(certificate("web-tls", content="b2"))),
    report(cluster_report("rct", RENEWED), dry_run=True),
    report(cluster_report("rct", RENEWED), snapshot=SourceSnapshot(failure=DOWN)),
]


@pytest.mark.parametrize("count", range(1, len(SEVERAL) + 1))
def test_several_reports_leave_what_they_leave_one_by_one(count: int) -> None:
    """The copies of each are there, and OPS is as the last one shows it that could read it."""
    for one in SEVERAL[:count]:
        registry.observe(one)
        one_by_one = registry._samples()
    registry._state.clear()
    registry.observe(*SEVERAL[:count])
    assert sorted(map(str, registry._samples())) == sorted(map(str, one_by_one))


def test_reports_that_wait_hold_ops_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What many reports show of OPS would fill the memory; they are merged before there are too many."""
    monkeypatch.setattr(registry, "MAX_WAITING", 3)
    for number in range(5):
        one = cluster_report(f"c{number}", KEPT)
        registry.observe(report(one, snapshot=snapshot(certificate("web-tls")), certificate="web-tls"))
    assert [len(one.snapshot.certificates) for one in registry._waiting] == [0, 1]
    assert len(exposed(definitions.SOURCE_END)) == 1


def test_a_report_on_all_certificates_does_not_wait() -> None:
    """It has a row for each copy of a cluster: a hundred of them would fill the memory."""
    registry.observe(report(cluster_report("dev", REFUSED), certificate=REFUSED.certificate))
    assert len(registry._waiting) == 1
    registry.observe(report(cluster_report("dev", KEPT)))
    assert registry._waiting == []


SHORTER = {"configured": ("dev",)}
NARROW = {"certificate": "web-tls"}


@pytest.mark.parametrize(
    "several",
    [
        [
            report(cluster_report("dev", KEPT), cluster_report("rct", REFUSED)),
            report(cluster_report("dev", RENEWED), **NARROW, **SHORTER),
            report(cluster_report("dev", RENEWED), **NARROW),
        ],
        [
            report(cluster_report("dev", KEPT), cluster_report("rct", KEPT)),
            report(cluster_report("dev", RENEWED), **NARROW, owner="stage"),
            report(cluster_report("dev", RENEWED), **NARROW, owner="stage"),
        ],
        [
            report(cluster_report("dev", RENEWED), **NARROW),
            report(snapshot=SourceSnapshot(failure=DOWN), **NARROW),
        ],
    ],
    ids=["a cluster left out for a while", "another owner", "OPS down"],
)
def test_reports_that_wait_leave_what_they_leave_at_once(several: list[RunReport]) -> None:
    """Whether or not somebody scrapes between two reports, the series are the same after them."""
    for one in several:
        registry.observe(one)
        scraped_each_time = registry._samples()
    registry._state.clear()
    for one in several:
        registry.observe(one)
    assert sorted(map(str, registry._samples())) == sorted(map(str, scraped_each_time))
