"""Routes with placeholders in their names, on real servers: runs and the watcher agree who gets what."""

from typing import Any

import pytest

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.models import Action, ClusterReport
from tasks.domain.reasons import Reason
from tasks.kube.pool import reuse_clients
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_watch import TIMINGS
from tests.support.clusters import Manifest, World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

BY_NAME: dict[str, Any] = {
    "certificates": ["*-dev-tls"],
    "namespaces": ["app-{1}"],
    "allowedNamespaces": ["app-a", "app-b"],
}
FIXED = {**BY_NAME, "certificates": ["*-dev-tls", "*-alt-tls"], "name": "tls"}


def data_of(world: World, name: str, namespace: str) -> Manifest | None:
    copy = world.copy(name, "dev", namespace)
    return copy["data"] if copy else None


def rows(report: ClusterReport) -> dict[str, tuple[Action, Reason]]:
    return {f"{one.target} {one.certificate}": (one.action, one.reason) for one in report.changes}


def test_each_certificate_goes_to_the_namespace_of_its_name(world: World) -> None:
    """One route for all; a name that yields another namespace, or none, costs no other certificate."""
    first, second, _, _ = world.issue("a-dev-tls", "b-dev-tls", "c-dev-tls", "x.y-dev-tls")
    world.configure([BY_NAME], clusters=["dev"])
    report = world.sync()
    assert rows(report) == {
        "app-a/a-dev-tls a-dev-tls": (Action.CREATE, Reason.MISSING_ON_TARGET),
        "app-b/b-dev-tls b-dev-tls": (Action.CREATE, Reason.MISSING_ON_TARGET),
        "app-{1}/x.y-dev-tls x.y-dev-tls": (Action.REFUSE, Reason.INVALID_TARGET_NAME),
    }
    assert data_of(world, "a-dev-tls", "app-a") == first["data"]
    assert data_of(world, "b-dev-tls", "app-b") == second["data"]
    assert not data_of(world, "c-dev-tls", "app-a")
    assert not data_of(world, "a-dev-tls", "app-b")


def test_a_second_certificate_for_one_name_stops_both(world: World) -> None:
    """What is there stays as it is, for runs and for the watcher, until the names are told apart."""
    (first,) = world.issue("a-dev-tls")
    world.configure([FIXED], clusters=["dev"])
    reconciler = Reconciler(TIMINGS)
    with reuse_clients():
        assert reconciler.reconcile(RESYNC)
        assert data_of(world, "tls", "app-a") == first["data"]
        world.issue("a-alt-tls")
        contested = (Action.REFUSE, Reason.TARGET_COLLISION)
        for name in ("a-alt-tls", "a-dev-tls"):
            report = reconciler.reconcile(name)
            assert report
            assert rows(report.clusters[0]) == {f"app-a/tls {name}": contested}
        world.renew(first)
        assert reconciler.reconcile("a-dev-tls")
        assert data_of(world, "tls", "app-a") == first["data"]
    assert rows(world.sync()) == {f"app-a/tls {name}": contested for name in ("a-alt-tls", "a-dev-tls")}
    world.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/a-alt-tls")
    assert world.row("tls").reason is Reason.CERTIFICATE_RENEWED
