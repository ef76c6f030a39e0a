"""ClusterProfiles of SIG Multicluster on a real API server.

The definition is a short one of this project's own, with names and fields of
github.com/kubernetes-sigs/cluster-inventory-api, config/crd/bases/multicluster.x-k8s.io_clusterprofiles.yaml.
"""

from typing import Any

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.manifests import object_path
from deployments.sandbox.world.certificate_resource import await_served
from tests.support.clusters import Manifest
from tests.support.waiting import until

GROUP = "multicluster.x-k8s.io"
NAMESPACE = "fleet"
PATH = f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/clusterprofiles"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"clusterprofiles.{GROUP}"},
    "spec": {
        "group": GROUP,
        "names": {
            "kind": "ClusterProfile",
            "listKind": "ClusterProfileList",
            "plural": "clusterprofiles",
            "singular": "clusterprofile",
        },
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": ANYTHING, "status": ANYTHING},
                        "required": ["spec"],
                    }
                },
            }
        ],
    },
}


def install(ops: Admin) -> None:
    ops.ensure(DEFINITION)
    ops.namespace(NAMESPACE)
    await_served(ops, DEFINITION)


def remove(ops: Admin) -> None:
    """Delete the definition, with all profiles, and wait until it is gone."""
    path = object_path(DEFINITION)
    ops.delete(path)
    until("the definition's end", lambda: ops.found(path) is None)


def profile(name: str, labels: dict[str, str] | None = None, address: str = "", **status: Any) -> Manifest:
    """Return a ClusterProfile as a cluster manager writes it."""
    provider = {"name": "fleet", "cluster": {"server": address, "certificate-authority-data": "AAAA"}}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterProfile",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"x-k8s.io/cluster-manager": "fleet", **(labels or {})},
        },
        "spec": {"displayName": f"Cluster {name}", "clusterManager": {"name": "fleet"}},
        "status": {**({"accessProviders": [provider]} if address else {}), **status},
    }


def announce(ops: Admin, name: str, labels: dict[str, str] | None = None, address: str = "") -> None:
    """Create a ClusterProfile, or replace it, with its status."""
    given = profile(name, labels, address)
    if ops.found(f"{PATH}/{name}"):
        ops.delete(f"{PATH}/{name}")
    ops.post(PATH, given)
    ops.patch(f"{PATH}/{name}/status", {"status": given["status"]})


def withdraw(ops: Admin, name: str) -> None:
    ops.delete(f"{PATH}/{name}")
