"""What is installed on OPS and on the targets, to see that nothing of it has changed."""

from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Place
from tests.e2e.machine import NAMESPACE, Machine

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def operations_of(application: Manifest) -> tuple[int, str]:
    """Return how many deployments the Application has had, and when the last operation began."""
    status = application["status"]
    return len(status["history"]), status["operationState"]["startedAt"]


def release_objects(machine: Machine) -> dict[str, str]:
    """Return the versions of the release's Deployments and ConfigMaps as people change them."""
    found = [one for path in (DEPLOYMENTS, CONFIG_MAPS) for one in machine.ops.list(path)]
    return {
        one["metadata"]["uid"]: str(one["metadata"].get("generation", one["metadata"]["resourceVersion"]))
        for one in found
    }


def on_targets(secrets: oracle.Contents) -> dict[Place, str]:
    """Return the versions of the targets' Secrets."""
    return {
        place: secret["metadata"]["resourceVersion"]
        for place, secret in secrets.items()
        if place.cluster != "ops"
    }
