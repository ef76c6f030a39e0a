"""What the watcher does where Certificates ask for copies: at once, what they ask for by then."""

import pytest

from tasks.config.schema import SyncConfig
from tasks.config.self_service import Limit
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import CopyRequest
from tasks.domain.reasons import Reason
from tasks.plan.requests import UNKNOWN
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support.factories import cluster, failure, route
from tests.unit.watch.test_reconciler import TIMINGS, Clusters, clusters, retried, states

__all__ = ["clusters"]  # the fixture

LIMIT = {
    "clusters": ["dev", "rct"],
    "certificates": ["web-*"],
    "namespaces": ["web"],
    "hostnames": ["*.dev.example.org"],
}


def configured(**limit: object) -> SyncConfig:
    """Three clusters, of which only dev has a route; dev and rct are of the first wave."""
    found = Clusters.configured(
        cluster(route(["api-tls"]), name="dev"),
        cluster(route(["zzz"]), name="rct"),
        cluster(route(["zzz"]), name="prd", wave=2),
    )
    limits = (Limit.model_validate({**LIMIT, **limit}),)
    return found.model_copy(update={"self_service": limits}).expanded()


def asking(*places: str, secret: str = "web-tls") -> tuple[CopyRequest, ...]:
    return (CopyRequest(secret=secret, certificates=("web",), asked=places),)


def started(clusters: Clusters, *requests: CopyRequest) -> Reconciler:
    """A reconciler that has read OPS and copied all once."""
    clusters.config, clusters.requests = configured(), requests
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    clusters.specs.clear()
    clusters.reads.clear()
    return reconciler


def test_a_renewal_of_what_was_asked_for_is_copied_at_once(clusters: Clusters) -> None:
    """To the clusters of the first wave that its Certificate names, and to no others."""
    reconciler = started(clusters, *asking("rct/web", "prd/web"))
    assert states(reconciler.reconcile("web-tls")) == ({"rct": True}, ())
    assert clusters.take_synced() == {("rct", "web-tls")}


def test_a_changed_annotation_is_served_with_the_event_of_the_secret(clusters: Clusters) -> None:
    """cert-manager writes it to the Secret, too, which is an event: what the Certificate says then counts."""
    reconciler = started(clusters, *asking("rct/web"))
    clusters.requests = asking("dev/web")
    assert states(reconciler.reconcile("web-tls")) == ({"dev": True}, ())
    clusters.requests = ()
    assert reconciler.reconcile("web-tls") is None
    clusters.requests = asking("dev/web", "rct/web")
    assert states(reconciler.reconcile("web-tls")) == ({"dev": True, "rct": True}, ())


def test_what_nobody_asks_for_goes_nowhere(clusters: Clusters) -> None:
    """A limit alone sends nothing; a Secret that no limit and no route names is not even read."""
    reconciler = started(clusters)
    assert reconciler.reconcile("web-tls") is None
    assert reconciler.reconcile("other-tls") is None
    assert clusters.reads == ["web-tls"]
    assert not clusters.take_synced()


def test_a_request_beyond_the_limits_is_told_and_copies_nothing(clusters: Clusters) -> None:
    """The report has it, and every cluster is in sync."""
    reconciler = started(clusters)
    clusters.requests = asking("dev/elsewhere")
    report = reconciler.reconcile("web-tls")
    assert states(report) == ({}, ())
    assert report
    assert [one.reason for one in report.snapshot.refused_requests] == [Reason.REQUEST_BEYOND_LIMITS]
    assert not clusters.take_synced()
    assert not reconciler.out_of_sync


@pytest.mark.parametrize("name", ["web-tls", "api-tls"])
def test_requests_survive_the_renewal_of_a_certificate(clusters: Clusters, name: str) -> None:
    """Granting starts anew only where something has changed that it depends on."""
    reconciler = started(clusters, *asking("dev/web"))
    granted = reconciler._source._granted
    assert reconciler.reconcile(name)
    assert granted
    assert reconciler._source._granted is granted


def test_where_certificates_are_unread_nothing_is_granted(clusters: Clusters) -> None:
    """As in a run: what the Certificate of this Secret asked for before counts no more, until it is read."""
    reconciler = started(clusters, *asking("rct/web"), *asking("dev/web", secret="web-2-tls"))
    clusters.are_certificates_readable = False
    assert reconciler.reconcile("web-tls") is None
    assert not clusters.take_synced()
    report = reconciler.reconcile("api-tls")
    assert report
    assert report.snapshot.requests_unread
    assert report.snapshot.warnings == (UNKNOWN,)
    clusters.are_certificates_readable = True
    clusters.specs.clear()
    report = reconciler.reconcile("web-tls")
    assert states(report) == ({"rct": True}, ())
    assert report
    assert not report.snapshot.requests_unread
    assert report.snapshot.warnings == ()
    assert clusters.take_synced() == {("rct", "web-tls")}
    assert reconciler._source.snapshot
    assert set(reconciler._source.snapshot.requests) == set(clusters.requests)


def test_without_self_service_unread_certificates_change_nothing(clusters: Clusters) -> None:
    """Routes alone say what is copied."""
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    clusters.are_certificates_readable = False
    report = reconciler.reconcile("web-tls")
    assert states(report) == ({"dev": True, "rct": True}, ())
    assert report
    assert not report.snapshot.requests_unread
    assert clusters.reads == ["everything", "web-tls"]


def routed_to(clusters: Clusters, name: str) -> set[str]:
    """What the last sync of a cluster was to copy to the namespace that may be asked for."""
    spec = next(one for one in reversed(clusters.specs) if one.cluster.name == name)
    targets = (one.target for one in spec.cluster.routed_copies(spec.snapshot.names))
    return {str(one) for one in targets if one.namespace == "web"}


def test_a_retry_asks_again_what_is_asked_for(clusters: Clusters) -> None:
    """No event tells of a Certificate that is deleted without its Secret: its copy is not made anew."""
    reconciler = started(clusters, *asking("rct/web"))
    clusters.fail("rct")
    reconciler.reconcile("web-tls")
    clusters.requests, clusters.reports = (), {}
    clusters.reads.clear()
    assert retried(reconciler)
    assert routed_to(clusters, "rct") == set()
    assert clusters.reads == ["certificates"]
    assert not reconciler.out_of_sync
    assert retried(reconciler) == []
    assert clusters.reads == ["certificates"]


def test_a_retry_waits_until_ops_says_what_is_asked_for(clusters: Clusters) -> None:
    """While OPS can't be reached, the cluster stays out of sync, and nothing is written to it."""
    reconciler = started(clusters, *asking("rct/web"))
    clusters.fail("rct")
    reconciler.reconcile("web-tls")
    clusters.specs.clear()
    clusters.source_error, clusters.reports = ClusterError(failure(FailureCode.UNREACHABLE, "OPS")), {}
    assert retried(reconciler) == []
    assert clusters.specs == []
    assert reconciler.out_of_sync == {"rct"}
    clusters.source_error = None
    assert retried(reconciler)
    assert routed_to(clusters, "rct") == {"web/web-tls"}
    assert not reconciler.out_of_sync


def test_what_is_read_with_an_event_meanwhile_is_newer(clusters: Clusters) -> None:
    """The list that a retry reads does not bring back what a Certificate asked for before."""
    reconciler = started(clusters, *asking("rct/web"))
    clusters.fail("rct")
    reconciler.reconcile("web-tls")
    granted = reconciler._source._granted

    def change() -> None:
        clusters.requests = asking("dev/web")
        assert states(reconciler.reconcile("web-tls")) == ({"dev": True}, ())

    retried(reconciler)
    assert granted
    assert reconciler._source._granted is granted
    clusters.while_listing = change
    retried(reconciler)
    assert reconciler._source.snapshot
    assert reconciler._source.snapshot.requests == clusters.requests
