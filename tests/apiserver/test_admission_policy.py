"""The admission policy for targets: what even a stolen credential can't do."""

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.sandbox.rest import AdminError, Rest
from tests.world import Manifest, World

pytestmark = pytest.mark.apiserver

RBAC = "/apis/rbac.authorization.k8s.io/v1"
LABEL = {"app.kubernetes.io/managed-by": "tls-sync"}


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


def test_nothing_can_be_deleted(world: World, thief: Rest) -> None:
    """Neither ours nor others' Secrets."""
    world.admin().create(secret())
    for what in (path(secret()), "/api/v1/namespaces/app-a/secrets"):
        with pytest.raises(AdminError) as error:
            thief.delete(what)
        assert denied(error)
    assert world.copy("web-tls") is not None


def test_other_people_are_not_concerned(world: World) -> None:
    """The policy binds tls-sync alone."""
    assert world.admin().create(secret(labels={}, type="Opaque"))
