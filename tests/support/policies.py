"""The admission policy of targets, for the keys that the routes of the configuration send."""

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.sandbox.clusters.rest import AdminError
from tasks.config.load import load_config
from tasks.config.schema import Cluster
from tasks.setup.manifests import manifests
from tests.support.clusters import Manifest, World
from tests.support.waiting import until


@contextmanager
def policies(world: World) -> Iterator[None]:
    """Apply what `tls-sync rights manifests` prints for this configuration, and afterwards what it was."""
    clusters = load_config().clusters
    for cluster in clusters:
        _apply(world, cluster, sorted(cluster.further_keys))
    try:
        yield
    finally:
        for cluster in clusters:
            _apply(world, cluster.model_copy(update={"routes": ()}), [])


def _apply(world: World, cluster: Cluster, keys: list[str]) -> None:
    for manifest in manifests(cluster):
        if manifest["kind"].startswith("ValidatingAdmission"):
            world.admin(cluster.name).ensure(manifest)
    known = ["key.der", "keystore.p12", "tls-combined.pem"]
    expected = [key in keys for key in known]
    until("the policy", lambda: [allows(world, cluster.name, key) for key in known] == expected)


def allows(world: World, cluster: str, key: str) -> bool:
    """Whether tls-sync's account may write a Secret with this key there."""
    path = "/api/v1/namespaces/app-a/secrets/policy-probe?dryRun=All&fieldManager=tls-sync"
    labels = {"app.kubernetes.io/managed-by": "tls-sync", "tls-sync.io/owner": "ops"}
    body: Manifest = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
    body |= {"metadata": {"name": "policy-probe", "labels": labels}}
    body |= {"data": {"tls.crt": "", "tls.key": "", key: ""}}
    try:
        world.account(cluster).patch(path, body, "application/apply-patch+yaml")
    except AdminError:
        return False
    return True
