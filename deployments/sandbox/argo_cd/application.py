"""What an Application of Argo CD says about itself, for an error message. Pure."""

from collections.abc import Iterator

from deployments.sandbox.clusters.manifests import Manifest


def conditions(application: Manifest) -> list[str]:
    """Return type and message of each condition, as Argo CD words them."""
    found = application.get("status", {}).get("conditions", [])
    return [f"{one['type']}: {one['message']}" for one in found]


def describe(name: str, application: Manifest | None) -> str:
    """Return the state of an Application, its conditions, and the objects that are not as they should be."""
    if application is None:
        return f"There is no Application {name}."
    status = application.get("status", {})
    sync, health = (status.get(part, {}).get("status", "none") for part in ("sync", "health"))
    return "\n".join(
        [
            f"Application {name} has the sync status {sync} and the health status {health}.",
            *(conditions(application) or ["It has no condition."]),
            *_operation(status.get("operationState", {})),
            *_faults(status.get("resources", [])),
        ]
    )


def _operation(state: Manifest) -> Iterator[str]:
    if state:
        yield f"Its last operation is {state['phase']}: {state.get('message') or 'no message'}"


def _faults(resources: list[Manifest]) -> Iterator[str]:
    for one in resources:
        health = one.get("health", {})
        if (one.get("status", "Synced"), health.get("status", "Healthy")) != ("Synced", "Healthy"):
            words = [one.get("status"), health.get("status"), health.get("message")]
            yield f"{one['kind']} {one['name']}: {', '.join(word for word in words if word)}"
