"""Which clusters are synced when something changes, and how those that failed come back."""

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pytest

from tasks.config.reload import ReloadedConfig
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, CopyRequest, RunReport
from tasks.plan.spec import SyncSpec
from tasks.source.changed import Changed
from tasks.source.requests import Requests
from tasks.source.statuses import empty_statuses
from tasks.target.remembered import Look
from tasks.watch import known_source
from tasks.watch import reconciler as reconciler_module
from tasks.watch import renewal as renewal_module
from tasks.watch.reconciler import Reconciler
from tasks.watch.renewal import Renewal
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import WatchTimings
from tests.support.factories import certificate, cluster, cluster_report, failure, route, snapshot
from tests.support.report_example import UPDATED

TIMINGS = WatchTimings(report_wait=30.0, change_wait=30.0, retry_backoff=(0.0,))
SECONDS = 30.0
WEB, API = route(["web-tls"]), route(["api-tls"])


class Secret(dict[str, object]):
    """One of OPS, with its key; it can be watched for its end."""


class Clusters:
    """The targets, each with what a sync of it reports, and OPS."""

    def __init__(self) -> None:
        self.config = self.configured(
            cluster(WEB, name="dev"), cluster(WEB, API, name="rct"), cluster(WEB, name="prd", wave=2)
        )
        self.reports: dict[str, ClusterReport] = {}
        self.specs: list[SyncSpec] = []
        self.during: Callable[[str], None] = lambda _: None
        """Called with the cluster's name while it is synced."""
        self.reads: list[str] = []
        self.source_error: Exception | None = None
        self.secret: Secret | None = None
        """What was read last."""
        self.requests: tuple[CopyRequest, ...] = ()
        """What Certificates ask for."""
        self.are_certificates_readable = True
        self.while_listing: Callable[[], object] = lambda: None
        """Called while Certificates are listed again, when what they ask for has been read."""

    @staticmethod
    def configured(*clusters: Cluster) -> SyncConfig:
        return SyncConfig(owner="ops", source=Source(context="ops", namespace="certs"), clusters=clusters)

    def sync(self, spec: SyncSpec, _: float, __: Look) -> ClusterReport:
        name = spec.cluster.name
        self.specs.append(spec)
        self.during(name)
        return self.reports.get(name, cluster_report(name, UPDATED))

    def read(self, what: str) -> None:
        self.reads.append(what)
        if self.source_error:
            raise self.source_error

    def fail(self, name: str, code: FailureCode = FailureCode.UNREACHABLE, *, transient: bool = True) -> None:
        self.reports[name] = cluster_report(name, failures=(failure(code, name, transient=transient),))

    def take_synced(self) -> set[tuple[str, str | None]]:
        """Return each cluster that was synced since the last call, and the only certificate of that sync."""
        specs, self.specs = self.specs, []
        return {(spec.cluster.name, spec.certificate) for spec in specs}


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    clusters = Clusters()
    web, api = certificate("web-tls"), certificate("api-tls")

    def read_changed(_: object, __: Source, name: str, *___: object, with_requests: bool) -> object:
        assert with_requests == bool(clusters.config.self_service)
        clusters.read(name)
        clusters.secret = Secret()
        asked = tuple(one for one in clusters.requests if one.secret == name)
        known = asked if clusters.are_certificates_readable else None
        return Changed({"web-tls": web, "api-tls": api}[name], clusters.secret, known)

    def list_source(*_: object, with_requests: bool) -> object:
        assert with_requests == bool(clusters.config.self_service)
        clusters.read("everything")
        return snapshot(web, api, requests=clusters.requests)

    def read_statuses(*_: object, with_requests: bool) -> object:
        assert with_requests
        clusters.read("certificates")
        asked = Requests()
        found = clusters.requests * clusters.are_certificates_readable
        asked.found = lambda: found  # type: ignore[method-assign]
        clusters.while_listing()
        return empty_statuses()._replace(requests=asked, is_unread=not clusters.are_certificates_readable)

    for name, stand_in in {
        "client_of_source": lambda *_: nullcontext(),
        "read_changed": read_changed,
        "list_source": list_source,
    }.items():
        monkeypatch.setattr(reconciler_module, name, stand_in)
    monkeypatch.setattr(known_source, "read_statuses", read_statuses)
    monkeypatch.setattr(ReloadedConfig, "load", lambda _: clusters.config)
    monkeypatch.setattr(renewal_module, "sync", clusters.sync)
    monkeypatch.setattr(Renewal, "needs_preparation", False)
    return clusters


@pytest.fixture
def reconciler(clusters: Clusters) -> Reconciler:
    """One that knows OPS already."""
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    clusters.specs.clear()
    clusters.reads.clear()
    return reconciler


def states(report: RunReport | None) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Whether each reported cluster is well, and the names of the pending ones."""
    assert report is not None
    return {one.cluster: one.ok for one in report.clusters}, report.pending


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS)


def retried(reconciler: Reconciler) -> list[RunReport]:
    """Start the retries that are due, wait for them, and return what is published of them."""
    published: list[RunReport] = []
    reconciler.retry_failed(published.append)
    for one in reconciler._clusters._out_of_sync.values():
        for future in (one.future, *(earlier for _, earlier in one.earlier)):
            if future:
                future.result(SECONDS)
    reconciler.retry_failed(published.append)
    return published


def test_a_resync_reads_everything_and_syncs_the_first_wave(clusters: Clusters) -> None:
    """Every cluster of the first wave is synced with every certificate; later waves are left to a run."""
    report = Reconciler(TIMINGS).reconcile(RESYNC)
    assert states(report) == ({"dev": True, "rct": True}, ())
    assert clusters.reads == ["everything"]
    assert clusters.take_synced() == {("dev", None), ("rct", None)}


def test_one_change_concerns_the_clusters_that_route_it(clusters: Clusters, reconciler: Reconciler) -> None:
    """Only that Secret is read, and only its clusters are synced, for nothing else."""
    assert states(reconciler.reconcile("api-tls")) == ({"rct": True}, ())
    assert clusters.reads == ["api-tls"]
    assert not any(spec.explicit for spec in clusters.specs)
    assert clusters.take_synced() == {("rct", "api-tls")}


def test_a_change_that_no_route_names_reads_nothing(clusters: Clusters, reconciler: Reconciler) -> None:
    """There is no report, and no request is sent to OPS or a target."""
    assert reconciler.reconcile("unrouted-tls") is None
    assert (clusters.reads, clusters.take_synced()) == ([], set())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClusterError(failure(FailureCode.UNREACHABLE, "OPS")), FailureCode.UNREACHABLE),
        (ValueError("a key"), FailureCode.INTERNAL),
    ],
    ids=["failure", "unexpected"],
)
def test_a_source_that_cannot_be_read_touches_no_cluster(
    clusters: Clusters, reconciler: Reconciler, error: Exception, code: FailureCode
) -> None:
    """The report has the failure and no cluster, and no text of an unexpected error."""
    clusters.source_error = error
    report = reconciler.reconcile("web-tls")
    assert report is not None
    assert report.snapshot.failure is not None
    assert report.snapshot.failure.code is code
    assert "a key" not in str(report)
    assert (report.clusters, clusters.take_synced()) == ((), set())


def test_a_failed_cluster_is_isolated_until_it_is_in_sync(clusters: Clusters, reconciler: Reconciler) -> None:
    """Batches leave it out and name it as pending; a retry with every certificate brings it back."""
    clusters.fail("dev")
    assert states(reconciler.reconcile("web-tls")) == ({"dev": False, "rct": True}, ())
    assert states(reconciler.reconcile("web-tls")) == ({"rct": True}, ("dev",))
    clusters.take_synced()
    assert retried(reconciler) == []
    assert reconciler.out_of_sync == {"dev"}
    del clusters.reports["dev"]
    (report,) = retried(reconciler)
    assert states(report) == ({"dev": True}, ())
    assert clusters.take_synced() == {("dev", None)}
    assert reconciler.out_of_sync == frozenset()
    assert states(reconciler.reconcile("web-tls")) == ({"dev": True, "rct": True}, ())


def test_a_failure_that_needs_a_person_delays_no_renewal(clusters: Clusters, reconciler: Reconciler) -> None:
    """The next batch tries the cluster again."""
    clusters.fail("dev", FailureCode.FORBIDDEN, transient=False)
    reconciler.reconcile("web-tls")
    assert reconciler.out_of_sync == {"dev"}
    assert states(reconciler.reconcile("web-tls")) == ({"dev": False, "rct": True}, ())


def test_an_unexpected_error_fails_its_cluster_only(clusters: Clusters, reconciler: Reconciler) -> None:
    """The others are synced, and the report names the error's type without its text."""

    def fail(name: str) -> None:
        if name == "dev":
            raise ValueError("a key")

    clusters.during = fail
    report = reconciler.reconcile("web-tls")
    assert states(report) == ({"dev": False, "rct": True}, ())
    assert "ValueError" in str(report)
    assert "a key" not in str(report)


def test_a_slow_cluster_delays_no_report(clusters: Clusters, reconciler: Reconciler) -> None:
    """It is pending; once it is done, its own report follows, of the same certificate."""
    go_on = threading.Event()
    reconciler._clusters.timings = replace(TIMINGS, change_wait=1.0)
    clusters.during = lambda name: wait_for(go_on) if name == "dev" else None
    assert states(reconciler.reconcile("web-tls")) == ({"rct": True}, ("dev",))
    go_on.set()
    (report,) = retried(reconciler)
    assert states(report) == ({"dev": True}, ())
    assert report.parameters.certificate == "web-tls"
    assert reconciler.out_of_sync == frozenset()


def test_a_slow_cluster_that_fails_is_reported(clusters: Clusters, reconciler: Reconciler) -> None:
    """The report that named it as pending is followed by one with its failure, even without a write."""
    go_on = threading.Event()
    reconciler._clusters.timings = replace(TIMINGS, change_wait=1.0)
    clusters.during = lambda name: wait_for(go_on) if name == "dev" else None
    clusters.fail("dev")
    reconciler.reconcile("web-tls")
    go_on.set()
    (report,) = retried(reconciler)
    assert states(report) == ({"dev": False}, ())


def test_a_slow_cluster_that_failed_before_is_synced_in_full(
    clusters: Clusters, reconciler: Reconciler
) -> None:
    """The slow sync of one certificate does not end the isolation: an earlier failure left more to copy."""
    clusters.fail("dev", FailureCode.FORBIDDEN, transient=False)
    reconciler.reconcile("web-tls")
    del clusters.reports["dev"]
    go_on = threading.Event()
    reconciler._clusters.timings = replace(TIMINGS, change_wait=1.0)
    clusters.during = lambda name: wait_for(go_on) if name == "dev" else None
    reconciler.reconcile("web-tls")
    go_on.set()
    retried(reconciler)
    assert reconciler.out_of_sync == {"dev"}
    clusters.take_synced()
    retried(reconciler)
    assert clusters.take_synced() == {("dev", None)}
    assert reconciler.out_of_sync == frozenset()


def test_a_change_during_a_retry_makes_another_one_follow(clusters: Clusters, reconciler: Reconciler) -> None:
    """The isolation ends only with a sync that began after the last change."""
    clusters.fail("dev")
    reconciler.reconcile("web-tls")
    del clusters.reports["dev"]

    def change(name: str) -> None:
        if name == "dev":
            reconciler.reconcile("web-tls")

    clusters.during = change
    assert len(retried(reconciler)) == 1
    assert reconciler.out_of_sync == {"dev"}
    clusters.during = lambda _: None
    retried(reconciler)
    assert reconciler.out_of_sync == frozenset()


def test_a_cluster_that_leaves_the_configuration_is_not_retried(
    clusters: Clusters, reconciler: Reconciler
) -> None:
    """A retry of it would use a configuration that is no longer there."""
    clusters.fail("dev")
    reconciler.reconcile("web-tls")
    clusters.take_synced()
    clusters.config = clusters.configured(cluster(WEB, name="rct"))
    assert retried(reconciler) == []
    assert (clusters.take_synced(), reconciler.out_of_sync) == (set(), frozenset())


def test_nothing_starts_after_close(clusters: Clusters, reconciler: Reconciler) -> None:
    """Neither a batch nor a retry syncs a cluster any more."""
    clusters.fail("dev")
    reconciler.reconcile("web-tls")
    clusters.take_synced()
    reconciler.close()
    assert states(reconciler.reconcile("web-tls")) == ({}, ("dev", "rct"))
    assert retried(reconciler) == []
    assert clusters.take_synced() == set()


def test_the_reports_of_all_slow_changes_follow(clusters: Clusters, reconciler: Reconciler) -> None:
    """Two changes are under way in a cluster that is slow: each has its report, and a full sync follows."""
    begun, go_on = threading.Barrier(3), threading.Event()
    reconciler._clusters.timings = replace(TIMINGS, change_wait=0.2)

    def hold(name: str) -> None:
        if name == "rct" and not go_on.is_set():
            begun.wait(SECONDS)
            wait_for(go_on)

    clusters.during = hold
    with ThreadPoolExecutor(2) as pool:
        changes = [pool.submit(reconciler.reconcile, name) for name in ("web-tls", "api-tls")]
        begun.wait(SECONDS)
        assert [states(one.result(SECONDS))[1] for one in changes] == [("rct",), ("rct",)]
    assert reconciler.reconcile("api-tls")
    clusters.take_synced()
    go_on.set()
    published = retried(reconciler)
    assert {one.parameters.certificate for one in published[:2]} == {"web-tls", "api-tls"}
    while reconciler.out_of_sync:
        published += retried(reconciler)
    assert clusters.take_synced() == {("rct", None)}


def test_a_failure_beside_a_slow_change_makes_a_full_sync_follow(
    clusters: Clusters, reconciler: Reconciler
) -> None:
    """The slow change ends well, and yet the cluster lacks what has failed meanwhile."""
    go_on = threading.Event()
    reconciler._clusters.timings = replace(TIMINGS, change_wait=0.2)
    clusters.during = lambda name: wait_for(go_on) if name == "rct" else None
    assert states(reconciler.reconcile("api-tls"))[1] == ("rct",)
    reconciler._clusters._record_failure("rct", cluster_report("rct", failures=(failure(),)))
    go_on.set()
    clusters.take_synced()
    retried(reconciler)
    assert reconciler.out_of_sync == {"rct"}
    retried(reconciler)
    assert (clusters.take_synced(), reconciler.out_of_sync) == ({("rct", None)}, frozenset())


def test_the_key_is_gone_when_a_change_is_copied(clusters: Clusters, reconciler: Reconciler) -> None:
    """Nothing that lives on holds the Secret that was read: no future, no thread and no memory."""
    reconciler.reconcile("web-tls")
    secret, clusters.secret = weakref.ref(clusters.secret or Secret()), None
    gc.collect()
    assert secret() is None


def test_a_report_shows_what_is_known_of_ops_when_it_is_published(
    clusters: Clusters, reconciler: Reconciler
) -> None:
    """Another change may have been read since: metrics never go back to an older snapshot."""
    older = reconciler.reconcile("web-tls")
    newer = reconciler.reconcile("api-tls")
    assert older
    assert newer
    assert older.snapshot is not newer.snapshot
    first, second = reconciler.updated([older, newer])
    assert first.snapshot is second.snapshot
    assert first.snapshot.entries == newer.snapshot.entries
    assert (first.clusters, second.clusters) == (older.clusters, newer.clusters)
