"""The admission policy for targets: what even a stolen credential can't do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deployments.sandbox.rest import AdminError, Rest
from tests.memory_api import merged
from tests.world import Manifest, World

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
    yield world.account()
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
    """A new copy has our three keys alone, and none of the fields by which others would keep or lose it."""
    assert let_through(thief, way, FOREIGN) == set()
    assert way(thief, {"data": {"ca.crt": "eA=="}})


@WAYS
def test_nothing_that_is_not_ours_is_added(thief: Rest, way: Way) -> None:
    """Nor does a copy get any of this later, whichever way it is written."""
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
