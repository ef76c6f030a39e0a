"""Namespaces that ask for certificates by a label, on real servers: who gets what, and with which rights."""

import shlex
import time
from collections.abc import Iterator

import pytest

from deployments.sandbox.world.kubeconfig import context_name
from tasks.config.load import load_config
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, CopyRequest
from tasks.domain.reasons import Reason
from tasks.kube.pool import reuse_clients
from tasks.plan.requests import granted
from tasks.plan.spec import SyncSpec
from tasks.preflight.probe import preflight
from tasks.target import selected
from tasks.target.sync import sync
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_watch import TIMINGS
from tests.support.cli_user import Operator
from tests.support.clusters import Manifest, World, codes
from tests.support.namespace_owner import LABEL, VALUE, NamespaceOwner

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

BY_LABEL = {"certificates": ["web-*"], "namespaceSelector": {LABEL: VALUE}}


@pytest.fixture
def owner(world: World) -> Iterator[NamespaceOwner]:
    world.configure([BY_LABEL, {"certificates": ["web-*"], "namespaces": ["app-a"]}], clusters=["dev"])
    owner = NamespaceOwner(world, "app-c")
    yield owner
    owner.leave()


def rows(world: World, namespace: str = "app-c") -> list[tuple[Action, Reason]]:
    report = world.sync()
    return [(one.action, one.reason) for one in report.changes if one.target.namespace == namespace]


def test_a_namespace_gets_its_copy_by_its_label_and_its_binding(world: World, owner: NamespaceOwner) -> None:
    """A renewal reaches it by a run and by the watcher; the others are served as ever."""
    (secret,) = world.issue("web-tls")
    owner.label(on=True)
    owner.bind(on=True)
    report = world.sync()
    assert report.ok
    assert {str(one.target) for one in report.changes} == {"app-a/web-tls", "app-c/web-tls"}
    assert report.selected == {f"{LABEL}={VALUE}": ("app-c",)}
    reconciler = Reconciler(TIMINGS)
    with reuse_clients():
        assert reconciler.reconcile(RESYNC)
        renewed = world.renew(secret)
        assert reconciler.reconcile("web-tls")
    for namespace in ("app-a", "app-c"):
        copy = world.copy("web-tls", "dev", namespace)
        assert copy
        assert copy["data"] == renewed["data"]


def test_a_label_alone_is_not_enough(world: World, owner: NamespaceOwner, operator: Operator) -> None:
    """It is Forbidden with the command that binds it, which works as it stands; all else is served."""
    world.issue("web-tls")
    owner.label(on=True)
    report = world.sync()
    assert codes(report) == [FailureCode.FORBIDDEN]
    assert world.copy("web-tls")
    assert not world.copy("web-tls", "dev", "app-c")
    command = report.failures[0].detail.removeprefix("labelled, and not bound: ")
    done = operator.run("kubectl", "--context", context_name("dev"), *shlex.split(command)[1:])
    assert done.status == 0, done.errors
    owner.bind(on=True)
    assert world.sync().ok
    assert world.copy("web-tls", "dev", "app-c")


def test_a_binding_alone_is_not_enough(world: World, owner: NamespaceOwner) -> None:
    """Nothing is written to a namespace that does not ask for it."""
    world.issue("web-tls")
    owner.bind(on=True)
    assert rows(world) == []
    assert not world.copy("web-tls", "dev", "app-c")


def test_a_copy_stays_when_the_label_goes(world: World, owner: NamespaceOwner) -> None:
    """It is told as NoLongerRouted while the namespace is bound, and nothing is told after that."""
    world.issue("web-tls")
    owner.label(on=True)
    owner.bind(on=True)
    assert rows(world) == [(Action.CREATE, Reason.MISSING_ON_TARGET)]
    owner.label(on=False)
    assert rows(world) == [(Action.KEEP, Reason.NO_LONGER_ROUTED)]
    owner.bind(on=False)
    report = world.sync()
    assert report.ok
    assert {one.target.namespace for one in report.changes} == {"app-a"}
    assert world.copy("web-tls", "dev", "app-c")


def test_the_role_of_a_route_is_no_consent(world: World, owner: NamespaceOwner) -> None:
    """Where another route has its Role in a namespace, a label does not decide that it gets more."""
    world.issue("web-tls", "other-tls")
    own = {"certificates": ["other-tls"], "namespaces": ["app-b"]}
    world.configure([BY_LABEL, own], clusters=["dev"])
    labels = "/api/v1/namespaces/app-b"
    world.admin().patch(labels, {"metadata": {"labels": {LABEL: VALUE}}})
    report = world.sync()
    world.admin().patch(labels, {"metadata": {"labels": {LABEL: None}}})
    assert codes(report) == [FailureCode.FORBIDDEN]
    assert world.copy("other-tls", "dev", "app-b")
    assert not world.copy("web-tls", "dev", "app-b")


def test_a_label_gives_no_certificate_the_name_of_another_one(world: World, owner: NamespaceOwner) -> None:
    """Runs for one certificate and the watcher see what a full run sees: both are refused."""
    one = {**BY_LABEL, "name": "shared-{1}"}
    other = {"certificates": ["api-tls"], "namespaces": ["app-c"], "name": "shared-tls"}
    world.configure([one, other], clusters=["dev"])
    (secret,) = world.issue("api-tls")
    owner.label(on=True)
    owner.bind(on=True)
    reconciler = Reconciler(TIMINGS)
    with reuse_clients():
        assert reconciler.reconcile(RESYNC)
        assert world.copy("shared-tls", "dev", "app-c")
        world.issue("web-tls")
        assert reconciler.reconcile("web-tls")
        world.renew(secret)
        for report in (reconciler.reconcile("api-tls"), reconciler.reconcile("web-tls")):
            assert report
            assert {row.reason for row in report.clusters[0].changes} == {Reason.TARGET_COLLISION}
    assert [row.reason for row in world.sync().changes] == [Reason.TARGET_COLLISION] * 2
    assert [row.reason for row in world.sync(certificate="api-tls").changes] == [Reason.TARGET_COLLISION]
    copy = world.copy("shared-tls", "dev", "app-c")
    assert copy
    assert copy["data"] == secret["data"]


def test_where_labels_are_not_known_no_copy_of_another_certificate_is_replaced(
    world: World, owner: NamespaceOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route by label may send still what is there; what another route creates or renews is written."""
    one = {"certificates": ["web-tls"], "namespaceSelector": {LABEL: VALUE}, "name": "shared"}
    world.configure([one], clusters=["dev"])
    first, _ = world.issue("web-tls", "api-tls")
    owner.label(on=True)
    owner.bind(on=True)
    assert world.sync().ok
    other = {"certificates": ["api-tls"], "namespaces": ["app-a", "app-c"], "name": "shared"}
    world.configure([one, other], clusters=["dev"])
    monkeypatch.setattr(selected, "MAX_SELECTED", 0)
    assert codes(world.sync()) == [FailureCode.SELECTOR_TOO_WIDE]
    copy = world.copy("shared", "dev", "app-c")
    assert copy
    assert copy["data"] == first["data"]
    assert world.copy("shared")


def test_a_refused_request_takes_nothing_from_the_copy_of_a_route(
    world: World, owner: NamespaceOwner
) -> None:
    """The route's labels are on the copy although a Certificate asks for its name, and it stays in sync."""
    owner.label(on=True)
    owner.bind(on=True)
    by_label = {
        **BY_LABEL,
        "certificates": ["api-tls"],
        "name": "web-tls",
        "metadata": {"labels": {"team": "a"}},
    }
    world.issue("web-tls", "api-tls")
    limit = {
        "clusters": ["*"],
        "certificates": ["*"],
        "namespaces": ["app-c"],
        "hostnames": ["*.example.org"],
    }

    def change(document: Manifest) -> None:
        document |= {"allowedMetadata": {"labels": ["team"]}, "selfService": [limit]}
        document["clusters"][0]["routes"] = [by_label]

    world.edit_config(change)
    asked = CopyRequest(secret="web-tls", certificates=("web",), asked=("dev/app-c",))
    for reason in (Reason.MISSING_ON_TARGET, Reason.IN_SYNC):
        config, found = granted(load_config(), world.snapshot().changed(requests=(asked,)))
        spec = SyncSpec(config, config.clusters[0], found)
        report = sync(spec, time.monotonic() + 60)
        told = {(row.certificate, row.reason) for row in report.changes}
        assert told == {("api-tls", reason), ("web-tls", Reason.REQUEST_CONFLICT)}
    copy = world.copy("web-tls", "dev", "app-c")
    assert copy
    assert copy["metadata"]["labels"]["team"] == "a"


def test_too_many_copies_of_a_label_are_told(
    world: World, owner: NamespaceOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label on many namespaces and a glob with many certificates do not fill the memory of the run."""
    monkeypatch.setattr(selected, "MAX_COPIES", 1)
    world.issue("web-a-tls", "web-b-tls")
    owner.label(on=True)
    owner.bind(on=True)
    (failure,) = world.sync().failures
    assert failure.code is FailureCode.SELECTOR_TOO_WIDE
    assert failure.detail == "2 copies; at most 1 may result, so none of them gets anything"


def test_too_many_namespaces_get_nothing(
    world: World, owner: NamespaceOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The selector is told with its number; routes that name their namespaces are served."""
    monkeypatch.setattr(selected, "MAX_SELECTED", 0)
    world.issue("web-tls")
    owner.label(on=True)
    owner.bind(on=True)
    report = world.sync()
    assert codes(report) == [FailureCode.SELECTOR_TOO_WIDE]
    assert report.failures[0].what == f"list namespaces with {LABEL}={VALUE}"
    assert world.copy("web-tls")
    assert not world.copy("web-tls", "dev", "app-c")


def test_without_the_right_to_list_namespaces_all_else_is_served(world: World, owner: NamespaceOwner) -> None:
    """Its failure names the selector, and the preflight the command whose output is to be applied."""
    world.issue("web-tls")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/tls-sync-selector"
    world.admin().delete(role)
    for _ in range(100):
        report = world.sync()
        if not report.ok:
            break
    assert set(codes(report)) == {FailureCode.FORBIDDEN}
    assert world.copy("web-tls")
    (dev,) = preflight(load_config(), None).clusters
    assert {one.remedy for one in dev.problems if one.name == FailureCode.FORBIDDEN} == {
        "apply what `tls-sync rights manifests --cluster dev` prints"
    }


def test_the_preflight_names_a_namespace_that_is_not_bound(world: World, owner: NamespaceOwner) -> None:
    """With the command for its owner; once it is bound, its rights are checked as any namespace's."""
    owner.label(on=True)
    (problem,) = preflight(load_config(), None).clusters[0].problems
    assert problem.text == "app-c: it has the label of a route, and no binding"
    assert "kubectl --namespace app-c create rolebinding tls-sync" in problem.remedy
    owner.bind(on=True)
    assert not preflight(load_config(), None).clusters[0].problems


def test_no_secret_is_listed_where_nobody_asked(world: World, owner: NamespaceOwner) -> None:
    """The audit log of a run: namespaces and bindings are asked for once, Secrets where it may."""
    world.issue("web-tls")
    owner.label(on=True)
    owner.bind(on=True)
    since = world.log_position("dev")
    world.sync(dry_run=True)
    asked = [
        (one["verb"], one["objectRef"]["resource"], one["objectRef"].get("namespace", ""))
        for one in world.requests("dev", since)
        if one["objectRef"]["resource"] in ("secrets", "namespaces", "rolebindings")
    ]
    assert sorted(asked) == [
        ("get", "namespaces", "kube-system"),
        ("list", "namespaces", ""),
        ("list", "rolebindings", ""),
        ("list", "secrets", "app-a"),
        ("list", "secrets", "app-c"),
    ]
