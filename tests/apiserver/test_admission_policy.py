"""The admission policy for targets: what even a stolen credential can't do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.api_server import LOOPBACK, Setting
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.rest import AdminError, Rest
from tasks.config.load import load_config
from tasks.domain.annotations import ADOPT, LAST_APPLIED
from tasks.domain.reasons import Reason
from tasks.setup.manifests import manifests
from tests.conftest import running_sandbox
from tests.support.clusters import Manifest, World
from tests.support.in_memory_api import merged
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

SECRETS = "/api/v1/namespaces/app-a/secrets"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MANAGED_BY, OWNER = "app.kubernetes.io/managed-by", "tls-sync.io/owner"
LABEL = {MANAGED_BY: "tls-sync", OWNER: "ops"}
REFERENCE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "web", "uid": "0c2f"}
FOREIGN: dict[str, Manifest] = {
    "immutable": {"immutable": True},
    "not immutable, but said": {"immutable": False},
    "an owner": {"metadata": {"ownerReferences": [REFERENCE]}},
    "a finalizer": {"metadata": {"finalizers": ["example.org/hold"]}},
    "a key": {"data": {"keystore.jks": "eA=="}},
    "a key without a value": {"data": {"keystore.jks": ""}},
    "a key as text": {"stringData": {"keystore.jks": "x"}},
    "the wish to be adopted": {"metadata": {"annotations": {"tls-sync.io/adopt": "ops"}}},
    "that it may go": {"metadata": {"annotations": {"tls-sync.io/prune": "true"}}},
    "a note": {"metadata": {"annotations": {"tls-sync.io/orphaned-runs": "3"}}},
}
"""What tls-sync never sets."""


@pytest.fixture
def thief(world: World) -> Iterator[Rest]:
    """Somebody with tls-sync's credential on dev, bound by a careless hand to cluster-admin."""
    admin = world.admin()
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "careless"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "tls-sync", "namespace": "tls-sync"}],
    }
    admin.ensure(binding)
    account = world.account()
    until("the policy is heeded", lambda: not let_through(account, by_dry_run, FOREIGN))
    yield account
    admin.delete(f"{RBAC}/clusterrolebindings/careless")


def secret(name: str = "web-tls", namespace: str = "app-a", **values: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": values.pop("labels", LABEL)}
    metadata["annotations"] = values.pop("annotations", {})
    data = {"tls.crt": "eA==", "tls.key": "eQ=="}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/tls",
        "data": data,
        **values,
    }


def path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/secrets/{metadata['name']}"


def denied(error: pytest.ExceptionInfo[AdminError]) -> bool:
    return error.value.status == 403 and "ValidatingAdmissionPolicy 'tls-sync'" in str(error.value)


Way = Callable[[Rest, Manifest], Manifest]


def by_post(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.post(SECRETS, merged(secret(), change))


def by_dry_run(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.post(f"{SECRETS}?dryRun=All", merged(secret("probe"), change))


def by_apply(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.apply(path(secret()), merged(secret(), change), "tls-sync", force=True)


def by_merge_patch(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.patch(path(secret()), change)


def by_strategic_patch(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.patch(path(secret()), change, "application/strategic-merge-patch+json")


def by_put(somebody: Rest, change: Manifest) -> Manifest:
    return somebody.put(path(secret()), merged(somebody.get(path(secret())), change))


WAYS = pytest.mark.parametrize("way", [by_apply, by_merge_patch, by_strategic_patch, by_put])


def let_through(somebody: Rest, way: Way, changes: dict[str, Manifest]) -> set[str]:
    """Those of the changes that the policy does not deny."""
    found = set()
    for name, change in changes.items():
        try:
            way(somebody, change)
        except AdminError as error:
            if error.status == 403 and "ValidatingAdmissionPolicy 'tls-sync" in str(error):
                continue
        found.add(name)
    return found


def test_its_own_secrets_may_be_written(thief: Rest) -> None:
    """A TLS Secret that bears our label can be made and changed."""
    thief.apply(path(secret()), secret(), "tls-sync")
    changed = secret(data={"tls.crt": "eHg=", "tls.key": "eXk="})
    assert thief.apply(path(changed), changed, "tls-sync")["data"] == changed["data"]


@pytest.mark.parametrize(
    "manifest",
    [
        secret(labels={}),
        secret(labels={"app.kubernetes.io/managed-by": "Helm"}),
        secret(type="Opaque"),
        secret(namespace="kube-system"),
        secret(namespace="default"),
    ],
    ids=["no label", "another's label", "another type", "kube-system", "default"],
)
def test_nothing_else_can_be_made(thief: Rest, manifest: Manifest) -> None:
    """Other Secrets, and protected namespaces, are out of reach even for cluster-admin under our name."""
    with pytest.raises(AdminError) as error:
        thief.apply(path(manifest), manifest, "tls-sync", force=True)
    assert denied(error)


@pytest.mark.parametrize("annotations", [{}, {"tls-sync.io/adopt": "ops"}], ids=["foreign", "asks for it"])
def test_a_secret_is_taken_over_only_where_it_asks_for_it(
    world: World, thief: Rest, annotations: dict[str, str]
) -> None:
    """Not even a forced apply takes over a Secret without our label and without the annotation."""
    world.admin().create(secret(labels={}, annotations=annotations))
    if annotations:
        thief.apply(path(secret()), secret(), "tls-sync", force=True)
        return
    with pytest.raises(AdminError) as error:
        thief.apply(path(secret()), secret(), "tls-sync", force=True)
    assert denied(error)


@pytest.mark.parametrize("way", [by_apply, by_post])
def test_nothing_is_made_with_what_is_not_ours(thief: Rest, way: Way) -> None:
    """A Secret with a fourth key, or with immutable, owners, finalizers or notes, is not created."""
    assert let_through(thief, way, FOREIGN) == set()
    assert way(thief, {"data": {"ca.crt": "eA=="}})


@WAYS
def test_nothing_that_is_not_ours_is_added(thief: Rest, way: Way) -> None:
    """The same additions to an existing copy are denied, whichever way it is written."""
    by_apply(thief, {})
    assert let_through(thief, way, FOREIGN) == set()
    assert way(thief, {"data": {"tls.crt": "eHg=", "ca.crt": "eA=="}})["data"]["tls.crt"] == "eHg="


CHANGED: dict[str, Manifest] = {
    "an owner": {"metadata": {"ownerReferences": [REFERENCE | {"uid": "1d3e"}]}},
    "no owner": {"metadata": {"ownerReferences": None}},
    "a finalizer": {"metadata": {"finalizers": ["example.org/other"]}},
    "no finalizer": {"metadata": {"finalizers": None}},
    "a key": {"data": {"keystore.jks": "eHg="}},
    "a key as text": {"stringData": {"keystore.jks": "x"}},
    "that it may go": {"metadata": {"annotations": {"tls-sync.io/prune": "true"}}},
    "that nothing keeps it": {"metadata": {"annotations": {"tls-sync.io/prune": None}}},
    "whom it asks": {"metadata": {"annotations": {"tls-sync.io/adopt": "stage"}}},
    "another's": {"metadata": {"labels": {OWNER: "stage"}}},
    "nobody's": {"metadata": {"labels": {OWNER: None}}},
}


@pytest.fixture
def adorned(world: World, thief: Rest) -> Rest:
    """The thief, and a copy to which somebody of the target has added all that they may."""
    by_apply(thief, {})
    keep = {"tls-sync.io/prune": "false", "tls-sync.io/adopt": "ops"}
    added = {"ownerReferences": [REFERENCE], "finalizers": ["example.org/hold"], "annotations": keep}
    world.admin().patch(path(secret()), {"metadata": added, "data": {"keystore.jks": "eQ=="}})
    return thief


@pytest.mark.parametrize("way", [by_merge_patch, by_put])
def test_what_others_added_is_not_changed(adorned: Rest, way: Way) -> None:
    """What somebody of the target has put on a copy stays as it is, and so does its owner."""
    assert let_through(adorned, way, CHANGED) == set()


@WAYS
def test_what_others_added_keeps_no_renewal_from_a_copy(adorned: Rest, way: Way) -> None:
    """A new certificate goes to a copy that has a foreign key, an owner, a finalizer and annotations."""
    assert way(adorned, {"data": {"tls.crt": "eHg="}})["data"] == {
        "tls.crt": "eHg=",
        "tls.key": "eQ==",
        "keystore.jks": "eQ==",
    }


def test_what_others_added_may_go(adorned: Rest) -> None:
    """Foreign keys and the wish to be adopted are dropped in the same request as a renewal."""
    gone = {"annotations": {"tls-sync.io/adopt": None}}
    found = by_merge_patch(adorned, {"metadata": gone, "data": {"tls.crt": "eHg=", "keystore.jks": None}})
    assert found["data"] == {"tls.crt": "eHg=", "tls.key": "eQ=="}
    assert found["metadata"]["annotations"] == {"tls-sync.io/prune": "false"}


def test_nothing_can_be_deleted(world: World, thief: Rest) -> None:
    """Neither ours nor others' Secrets."""
    world.admin().create(secret())
    for what in (path(secret()), SECRETS):
        with pytest.raises(AdminError) as error:
            thief.delete(what)
        assert denied(error)
    assert world.copy("web-tls") is not None


def test_other_people_are_not_concerned(world: World) -> None:
    """The policy binds tls-sync alone."""
    assert world.admin().create(secret(labels={}, type="Opaque"))


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def apply_policies(admin: Admin, *, prune: bool) -> None:
    """As `tls-sync rights manifests` prints them."""
    cluster = load_config().clusters[0].model_copy(update={"prune": prune})
    for manifest in manifests(cluster):
        if manifest["kind"].startswith("ValidatingAdmission"):
            admin.ensure(manifest)


def noted(hours: float = 0, /, **notes: str | None) -> Manifest:
    """What three runs write on a copy, the first of them so many hours ago; or these notes."""
    now = datetime.now(UTC)
    since, seen = now - timedelta(hours=hours), now.isoformat(timespec="seconds")
    all_notes = {"since": since.isoformat(timespec="seconds"), "seen": seen, "runs": "3"} | notes
    return {
        "metadata": {"annotations": {f"tls-sync.io/orphaned-{key}": one for key, one in all_notes.items()}}
    }


@pytest.fixture
def pruning(world: World, thief: Rest) -> Iterator[Rest]:
    """The thief, and a copy, on a cluster that is pruned."""
    admin = world.admin()
    by_apply(thief, {})
    apply_policies(admin, prune=True)
    until("notes are allowed", lambda: let_through(thief, by_merge_patch, {"now": noted()}))
    until("their age counts", lambda: not let_through(thief, by_merge_patch, {"old": noted(1)}))
    yield thief
    apply_policies(admin, prune=False)
    until("notes are denied", lambda: not let_through(thief, by_merge_patch, {"now": noted()}))


@pytest.fixture
def other_server(world: World) -> Iterator[Callable[[float], object]]:
    """Sets the clock of one more API server of DEV, in hours from now; it stands still from then on."""
    admin, name = world.admin(), "apiserver-other"

    def put(hours: float) -> None:
        labels = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
        renewed = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="microseconds")
        spec = {"renewTime": renewed, "leaseDurationSeconds": 3600, "holderIdentity": name}
        metadata = {"name": name, "namespace": "kube-system", "labels": labels}
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        admin.apply(f"{LEASES}/{name}", {**kind, "metadata": metadata, "spec": spec}, "sandbox")

    yield put
    admin.delete(f"{LEASES}/{name}")


def may_go(somebody: Rest, admin: Admin, notes: Manifest) -> bool:
    """Whether somebody may delete a copy on which an administrator has put these notes."""
    admin.patch(path(secret()), notes)

    def by_deleting(rest: Rest, _: Manifest) -> Manifest:
        return rest.delete(f"{path(secret())}?dryRun=All")

    return bool(let_through(somebody, by_deleting, {"delete": {}}))


@WAYS
def test_a_note_says_when_it_was_made(pruning: Rest, way: Way) -> None:
    """A note has no earlier time than the API server's clock, new or changed, and it can be removed."""
    backdated = {f"{hours} hours": noted(hours) for hours in (0.5, 25, 1000)}
    assert let_through(pruning, way, backdated) == set()
    way(pruning, noted())
    assert let_through(pruning, way, backdated) == set()
    way(pruning, noted(runs="4"))
    ended = by_merge_patch(pruning, noted(since=None, seen=None, runs=None))
    assert ended["metadata"].get("annotations", {}) == {}
    assert let_through(pruning, way, backdated) == set()


def test_what_is_no_time_is_no_note(pruning: Rest) -> None:
    """A note that nobody could compare with a clock is refused, too."""
    with pytest.raises(AdminError, match="ValidatingAdmissionPolicy 'tls-sync-prune'"):
        by_merge_patch(pruning, noted(since="long ago"))


@pytest.mark.parametrize(("hours", "goes"), [(0, False), (23.5, False), (24.1, True), (1000, True)], ids=str)
def test_a_copy_goes_a_day_after_its_note(world: World, pruning: Rest, hours: float, goes: bool) -> None:
    """A copy can be deleted a day after its note, by the API server's clock, whoever wrote the note."""
    assert may_go(pruning, world.admin(), noted(hours)) is goes


@pytest.mark.parametrize(
    "notes",
    [
        noted(25, runs="2"),
        noted(25, runs="many"),
        noted(25, runs=None),
        noted(25, seen=None),
        noted(since=None),
        merged(noted(25), {"metadata": {"annotations": {"tls-sync.io/prune": "false"}}}),
        merged(noted(25), {"metadata": {"labels": {MANAGED_BY: "Helm"}}}),
    ],
    ids=["two runs", "no number", "no runs", "not seen", "no note", "kept by the target", "not ours"],
)
def test_only_what_three_runs_have_noted_goes(world: World, pruning: Rest, notes: Manifest) -> None:
    """Only a copy of ours can be deleted that has all notes and that nobody of the target keeps."""
    assert not may_go(pruning, world.admin(), notes)
    again = {"metadata": {"labels": LABEL, "annotations": {"tls-sync.io/prune": "true"}}}
    assert may_go(pruning, world.admin(), merged(again, noted(25)))


def test_an_api_server_that_is_gone_delays_a_deletion_and_hastens_none(
    world: World, pruning: Rest, other_server: Callable[[float], object]
) -> None:
    """Until its Lease is removed, only a copy can be deleted that was due when the server was last there."""
    other_server(-2)
    until("its Lease is known", lambda: not may_go(pruning, world.admin(), noted(25)))
    assert may_go(pruning, world.admin(), noted(26.2))
    by_merge_patch(pruning, noted())


def test_a_clock_that_is_ahead_hastens_no_deletion(
    world: World, pruning: Rest, other_server: Callable[[float], object]
) -> None:
    """Of several API servers the slowest clock counts for a deletion, and the fastest one for a note."""
    other_server(20)
    until("its Lease is known", lambda: not let_through(pruning, by_merge_patch, {"now": noted()}))
    assert not may_go(pruning, world.admin(), noted(23))
    assert may_go(pruning, world.admin(), noted(25))


def test_where_nothing_is_pruned_any_more_notes_end(world: World, pruning: Rest) -> None:
    """Without prune, deletions and new notes are denied; the Leases' policy stays, and denies no renewal."""
    by_apply(pruning, {})
    apply_policies(world.admin(), prune=False)
    until("notes are denied", lambda: not let_through(pruning, by_merge_patch, {"now": noted()}))
    assert not may_go(pruning, world.admin(), noted(25))
    assert by_merge_patch(pruning, noted(since=None, seen=None, runs=None) | {"data": {"tls.crt": "eHg="}})


OLDER = 5
"""Rules that the policy had before it looked at keys, fields and notes."""


@pytest.fixture
def older_policy(world: World) -> Iterator[World]:
    """DEV, where nobody has applied the policy anew."""
    admin = world.admin()
    place = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/tls-sync"
    rules = admin.get(place)["spec"]["validations"]
    admin.patch(place, {"spec": {"validations": rules[:OLDER]}})
    until("it is heeded", lambda: let_through(world.account(), by_dry_run, FOREIGN))
    yield world
    apply_policies(admin, prune=False)
    until("the policy is heeded", lambda: not let_through(world.account(), by_dry_run, FOREIGN))


def write_all(world: World) -> None:
    """Make a copy, renew it under what others have put on it, put it right, and adopt another Secret."""
    (web,) = world.issue("web-tls")
    assert world.row("web-tls").reason is Reason.MISSING_ON_TARGET
    added = {"ownerReferences": [REFERENCE], "finalizers": ["example.org/hold"], "labels": {"team": "web"}}
    world.admin().patch(path(secret()), {"metadata": added, "data": {"keystore.jks": "eQ=="}})
    web = world.renew(web)
    assert world.row("web-tls").applied
    copy = world.admin().get(path(secret()))
    assert copy["data"] == web["data"]
    assert {key: copy["metadata"][key] for key in ("ownerReferences", "finalizers")}.items() <= added.items()
    world.admin().patch(path(secret()), {"data": {"tls.crt": "eHg=", "keystore.jks": "eQ=="}})
    assert world.row("web-tls").reason is Reason.DRIFTED
    (shop,) = world.issue("web-shop")
    theirs = secret(
        "web-shop",
        labels={},
        annotations={ADOPT: "ops", LAST_APPLIED: "{}"},
    )
    world.admin().create(theirs)
    assert world.row("web-shop").reason is Reason.ADOPTED
    for source in (web, shop):
        found = world.admin().get(f"{SECRETS}/{source['metadata']['name']}")
        assert found["data"] == source["data"]


def test_all_that_runs_write_is_allowed(world: World) -> None:
    """A copy is made, renewed under what others put on it, put right, and another Secret is adopted."""
    write_all(world)


def test_an_older_policy_will_do(older_policy: World) -> None:
    """Runs go on where nobody has applied the policy of this version."""
    write_all(older_policy)


@pytest.fixture
def leaseless() -> Iterator[Admin]:
    """An API server that renews no Lease, with a copy and another Secret."""
    gates = "APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false"
    flags = (*LOOPBACK.flags, f"--feature-gates={gates}")
    for sandbox in running_sandbox(Sandbox(("dev",), settings={"dev": Setting(flags=flags)})):
        admin = sandbox.cluster("dev").admin
        admin.namespace("app-a")
        admin.create(secret())
        admin.create(secret("other", labels={}))
        yield admin


def test_where_there_is_no_lease_copies_alone_are_barred(world: World, leaseless: Admin) -> None:
    """Nobody writes to a copy then, as the guide warns; Secrets that are no copies are as free as before."""
    apply_policies(leaseless, prune=True)
    text = "no params found for policy binding"

    def change(name: str) -> str:
        try:
            leaseless.patch(path(secret(name)), {"data": {"more": "eA=="}})
        except AdminError as error:
            return str(error)
        return ""

    until("copies are barred", lambda: text in change("web-tls"))
    assert change("other") == ""
    leaseless.create(secret("new"))
    leaseless.delete(path(secret("other")))
