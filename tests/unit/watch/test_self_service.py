"""What the watcher does where Certificates ask for copies: at once, what they ask for by then."""

import pytest

from tasks.config.schema import SyncConfig
from tasks.config.self_service import Limit
from tasks.domain.models import CopyRequest
from tasks.domain.reasons import Reason
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support.factories import cluster, route
from tests.unit.watch.test_reconciler import TIMINGS, Clusters, clusters, states

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
    granted = reconciler._granted
    assert reconciler.reconcile(name)
    assert granted
    assert reconciler._granted is granted
