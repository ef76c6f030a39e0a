"""Two OPS clusters of one owner, and an OPS that was rebuilt: whose copy is whose, on real API servers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import grant_source
from flows.commands.inventory import run as print_inventory
from flows.tls_sync import tls_sync
from tasks.domain.models import Change, ClusterReport
from tasks.domain.reasons import Reason
from tasks.kube.pool import reuse_clients
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_prune import age, grant, notes_on
from tests.support.cli_user import Operator
from tests.support.clusters import Manifest, World

pytestmark = pytest.mark.apiserver

NAMES = tuple(f"web-{number}-tls" for number in range(9))
STAMP = "tls-sync.io/source-cluster"
PATH = "/api/v1/namespaces/app-a/secrets"
ROLES = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}"
SECRETS = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets"


@pytest.fixture
def second(world: World) -> Iterator[World]:
    """PRD's API server is a second OPS beside the first one; both have nine certificates of equal names."""
    world.configure(clusters=["dev"])
    admin = world.admin("prd")
    grant_source(world.sandbox.cluster("prd"))
    for secret in world.issue(*NAMES):
        admin.create(world.issuer.renew(secret))
    yield world
    admin.delete(SECRETS)
    for kind in ("rolebindings", "roles"):
        admin.delete(f"{ROLES}/{kind}/tls-sync")
    remove_namespace(admin)


def remove_namespace(admin: Admin) -> None:
    """Do as the namespace controller, which these servers don't have, so that other tests find one OPS."""
    path = f"/api/v1/namespaces/{SOURCE_NAMESPACE}"
    admin.delete(path)
    admin.put(f"{path}/finalize", admin.get(path) | {"spec": {"finalizers": []}})


def act_as(world: World, ops: str, *former: str) -> None:
    """From now on this server is OPS, with the uids of clusters that it replaces."""

    def change(document: Manifest) -> None:
        document["source"] |= {
            "context": f"cluster-{ops}",
            "clusterId": world.admin(ops).cluster_id(),
            "formerClusterIds": list(former),
        }

    world.edit_config(change)


def stamps(world: World) -> set[str | None]:
    copies = world.admin().secrets("app-a")
    return {copy["metadata"]["annotations"].get(STAMP) for copy in copies}


def reasons(report: ClusterReport) -> set[tuple[Reason, bool, bool]]:
    return {(row.reason, row.applied, row.failed) for row in report.changes}


def rows(report: ClusterReport) -> dict[str, Change]:
    return {row.target.name: row for row in report.changes}


def test_each_copy_says_which_ops_it_came_from(second: World) -> None:
    """Once a copy is written it bears the uid of OPS's kube-system, and stays at rest with it."""
    assert reasons(second.sync()) == {(Reason.MISSING_ON_TARGET, True, False)}
    assert stamps(second) == {second.ops.cluster_id()}
    before = second.versions()
    assert reasons(second.sync()) == {(Reason.IN_SYNC, False, False)}
    assert second.versions() == before


def test_a_second_ops_of_the_same_owner_writes_over_nothing(second: World) -> None:
    """It is refused for each copy, with the first one's uid; where the first has none, it writes its own."""
    oracle = second.oracle(clusters=["dev"])
    assert second.sync().ok
    before = second.versions()
    oracle.look()
    act_as(second, "prd")
    second.admin("prd").create(second.issuer.secret("web-own-tls", ["web-own.example.org"]))
    report = second.sync()
    found = rows(report)
    assert found.pop("web-own-tls").applied
    assert {row.reason for row in found.values()} == {Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER}
    assert {row.detail for row in found.values()} == {f"OPS cluster {second.ops.cluster_id()}"}
    assert before.items() <= second.versions().items()
    act_as(second, "ops")
    assert second.sync().ok


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_the_run_of_a_second_ops_is_failed_and_says_why(second: World) -> None:
    """The flow's run is Failed, and its message has the reason."""
    assert second.sync().ok
    before = second.versions()
    act_as(second, "prd")
    state = tls_sync(return_state=True)
    assert state.is_failed()
    assert "OwnedByAnotherSourceCluster" in str(state.message)
    assert second.versions() == before


def test_the_watcher_of_a_second_ops_writes_over_nothing(second: World) -> None:
    """A renewal on the second OPS, brought at once, meets the first one's copy."""
    assert second.sync().ok
    before = second.versions()
    act_as(second, "prd")
    reconciler = Reconciler()
    with reuse_clients():
        for changed in (RESYNC, NAMES[0]):
            report = reconciler.reconcile(changed)
            assert report is not None
            refused = {row.reason for one in report.clusters for row in one.changes}
            assert refused == {Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER}
    assert second.versions() == before


def test_the_inventory_shows_anothers_copies_as_foreign(
    second: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text and document name the reason; what the first OPS left is not told as ours."""
    assert second.sync().ok
    act_as(second, "prd")
    second.admin("prd").delete(f"{SECRETS}/{NAMES[0]}")
    assert print_inventory(None, None, output="json", file=None) == 1
    placements = json.loads(capsys.readouterr().out)["placements"]
    told = {(one["status"], one["reason"]) for one in placements}
    assert told == {("foreign", "OwnedByAnotherSourceCluster")}
    assert NAMES[0] not in {one["secret"] for one in placements}


def test_an_ops_that_was_rebuilt_takes_its_copies_over_without_a_write(second: World) -> None:
    """With its former uid configured they are ours and at rest; each gets the new uid when it is due."""
    assert second.sync().ok
    first, now = second.ops.cluster_id(), second.admin("prd").cluster_id()
    act_as(second, "prd", first)
    for name in NAMES[1:]:  # a restored OPS has what the old one had
        put(second, second.ops.secret(SOURCE_NAMESPACE, name))
    before = second.versions()
    found = rows(second.sync())
    assert found[NAMES[0]].reason is Reason.CERTIFICATE_RENEWED
    assert {found[name].reason for name in NAMES[1:]} == {Reason.IN_SYNC}
    after = second.versions()
    assert [name for name in after if after[name] != before[name]] == [f"app-a/{NAMES[0]}"]
    assert stamps(second) == {first, now}


def put(world: World, secret: Manifest | None) -> None:
    assert secret is not None
    kept = {key: secret["metadata"][key] for key in ("name", "namespace")}
    world.admin("prd").replace(secret | {"metadata": kept})


def test_copies_of_an_earlier_version_are_ours_and_get_the_uid_when_they_are_due(second: World) -> None:
    """No write at rest; and the earlier version's way of looking at the new copies ends after one write."""
    assert second.sync().ok
    for name in NAMES:
        downgrade(second, name)
    before = second.versions()
    assert reasons(second.sync()) == {(Reason.IN_SYNC, False, False)}
    assert second.versions() == before
    assert stamps(second) == {None}
    renewed = second.ops.secret(SOURCE_NAMESPACE, NAMES[0])
    assert renewed is not None
    second.put(second.issuer.renew(renewed))
    assert rows(second.sync())[NAMES[0]].reason is Reason.CERTIFICATE_RENEWED
    assert stamps(second) == {None, second.ops.cluster_id()}


def downgrade(world: World, name: str) -> None:
    """Write the copy as the version before the stamp did: an apply without it, by the same manager."""
    copy = world.copy(name)
    assert copy is not None
    metadata = {key: copy["metadata"][key] for key in ("name", "namespace", "labels")}
    annotations = {key: value for key, value in copy["metadata"]["annotations"].items() if key != STAMP}
    body = {key: copy[key] for key in ("apiVersion", "kind", "type", "data")}
    whole = body | {"metadata": metadata | {"annotations": annotations}}
    world.admin().apply(f"{PATH}/{name}", whole, "tls-sync", force=True)


def test_a_stamp_of_another_ops_put_there_by_hand_is_heeded(second: World) -> None:
    """Who writes it there has authority over the copy: refused from then on, with the remedy."""
    assert second.sync().ok
    annotations = {STAMP: second.admin("rct").cluster_id()}
    second.admin().patch(f"{PATH}/{NAMES[0]}", {"metadata": {"annotations": annotations}})
    row = rows(second.sync())[NAMES[0]]
    assert (row.reason, row.failed) == (Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER, True)
    assert "source.formerClusterIds" in row.reason.remedy


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_second_ops_prunes_no_copy_of_the_first(second: World) -> None:
    """Its whole runs neither note nor delete what it never had, though they delete what it lost itself."""
    first, lost = NAMES[:2]
    for name in NAMES[1:]:
        second.ops.delete(f"{SECRETS}/{name}")
    second.admin("prd").delete(f"{SECRETS}/{first}")
    for number in range(4):
        name = f"web-own-{number}-tls"
        second.admin("prd").create(second.issuer.secret(name, [f"{name}.example.org"]))
    second.edit_config(lambda document: document["clusters"][0].update(prune=True))
    grant(second, "dev")
    assert tls_sync(return_state=True).is_completed()
    before = second.versions()
    act_as(second, "prd")
    assert tls_sync(return_state=True).is_completed()
    assert before.items() <= second.versions().items()
    assert notes_on(second, first) == {}
    second.admin("prd").delete(f"{SECRETS}/{lost}")
    for name in (first, lost):
        age(second, name)
    noted = second.copy(first)
    assert tls_sync(return_state=True).is_completed()
    assert second.copy(lost) is None
    copy = second.copy(first)
    assert noted is not None
    assert copy is not None
    assert copy["data"] == noted["data"]


def test_init_asks_which_of_two_is_ops(second: World, operator: Operator, tmp_path: Path) -> None:
    """Where two clusters have the namespace of the certificates, both are named, and nothing is written."""
    assert second.admin("prd").secrets(SOURCE_NAMESPACE)
    file = tmp_path / "proposed.yaml"
    done = operator.run(sys.executable, "-m", "flows.cli", "init", "--file", str(file))
    assert done.status == 1
    both = f"cluster-ops, cluster-prd have a namespace {SOURCE_NAMESPACE}: say which cluster is OPS"
    assert done.errors.startswith(f"tls-sync: {both} by --ops-context")
    assert not file.exists()
