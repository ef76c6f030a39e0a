"""What the clusters hold before and after a run, read as an administrator, and what of it is wrong.

It knows nothing of tasks/: where each copy belongs is written down here once more.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER

ACCOUNT = "system:serviceaccount:tls-sync:tls-sync"


class Place(NamedTuple):
    """Where a Secret is."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster} {self.namespace}/{self.name}"


NOTE, NOTE_MANAGER = "tls-sync.io/source-version", "tls-sync-note"
COPIES: Mapping[Place, str] = {
    Place("dev", "homarr-dev", "homarr-dev-tls"): "homarr-dev-tls",
    Place("dev", "headlamp-dev", "headlamp-dev-tls"): "headlamp-dev-tls",
    Place("dev", "homarr-dev", "wildcard-tls"): "wildcard-dev-tls",
    Place("dev", "headlamp-dev", "wildcard-tls"): "wildcard-dev-tls",
    Place("rct", "homarr-rct", "homarr-rct-tls"): "homarr-rct-tls",
    Place("rct", "headlamp-rct", "headlamp-rct-tls"): "headlamp-rct-tls",
    Place("prd", "homarr-prd", "homarr-prd-tls"): "homarr-prd-tls",
    Place("prd", "headlamp-prd", "headlamp-prd-tls"): "headlamp-prd-tls",
}
"""Each copy that the example world asks for, and the Secret on OPS that it is a copy of."""

Contents = Mapping[Place, Manifest]


@dataclass(frozen=True)
class Snapshot:
    """All Secrets of all running clusters, and the number of tls-sync's requests to each."""

    secrets: Contents
    requests: Mapping[str, int]

    @property
    def clusters(self) -> frozenset[str]:
        return frozenset(self.requests)


def look(sandbox: Sandbox, clusters: Collection[str] | None = None) -> Snapshot:
    """Of all running clusters, or of these alone."""
    servers = [sandbox.cluster(name) for name in sandbox.names if clusters is None or name in clusters]
    running = [server for server in servers if server.process is not None]
    requests = {
        server.name: sum(entry["user"]["username"] == ACCOUNT for entry in server.audit())
        for server in running
    }
    return Snapshot(secrets_on(*running), requests)


def secrets_on(*servers: ApiServer) -> dict[Place, Manifest]:
    return {
        Place(server.name, secret["metadata"]["namespace"], secret["metadata"]["name"]): secret
        for server in servers
        for secret in server.admin.list("/api/v1/secrets")
    }


def differences(secrets: Contents, copies: Mapping[Place, str]) -> Iterator[str]:
    """How copies differ from the Secrets on OPS that they are copies of."""
    for place, source in copies.items():
        original = secrets[Place(SOURCE_CLUSTER, SOURCE_NAMESPACE, source)]
        copy = secrets.get(place)
        if copy is None:
            yield f"{place} is not there"
            continue
        if copy["type"] != original["type"]:
            yield f"{place} has the type {copy['type']}, OPS's {source} has {original['type']}"
        found, wanted = copy.get("data", {}), original["data"]
        keys = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        if keys:
            yield f"{place} differs from OPS's {source} in {', '.join(keys)}"


@dataclass(frozen=True)
class Evidence:
    """The clusters before and after a run."""

    before: Snapshot
    after: Snapshot

    @property
    def created(self) -> set[Place]:
        return set(self.after.secrets) - set(self.before.secrets)

    @property
    def deleted(self) -> set[Place]:
        return set(self.before.secrets) - set(self.after.secrets)

    @property
    def updated(self) -> set[Place]:
        """Those with another resourceVersion, even if the content is the same; but for new notes."""
        both = set(self.before.secrets) & set(self.after.secrets)
        pairs = ((place, self.before.secrets[place], self.after.secrets[place]) for place in both)
        return {place for place, before, after in pairs if _is_updated(before, after)}

    @property
    def asked(self) -> set[str]:
        """Clusters to which tls-sync sent a request."""
        now, then = self.after.requests, self.before.requests
        return {name for name in now if now[name] != then.get(name)}

    @property
    def seen(self) -> dict[Place, str]:
        """The copies on running clusters."""
        return {place: source for place, source in COPIES.items() if place.cluster in self.after.clusters}

    def objections(
        self,
        written: Collection[Place],
        left_alone: Collection[str] = (),
        waiting: Collection[Place] = (),
    ) -> list[str]:
        """What is wrong: copies must be OPS's, `written` ones and no others written, nothing deleted.

        Those that are `waiting` have their former content.
        """
        changed = self.created | self.updated
        current = {place: source for place, source in self.seen.items() if place not in waiting}
        return [
            *differences(self.after.secrets, current),
            *(f"{place} was deleted" for place in sorted(self.deleted)),
            *(f"{place} was written, and should not have been" for place in sorted(changed - set(written))),
            *(f"{place} was not written" for place in sorted(set(written) - changed)),
            *(
                f"{name} got requests, and should have got none"
                for name in sorted(self.asked & set(left_alone))
            ),
        ]

    def counts(self, cluster: str) -> tuple[int, int]:
        """Secrets created and updated on a cluster."""
        created = sum(place.cluster == cluster for place in self.created)
        return created, sum(place.cluster == cluster for place in self.updated)


def _is_updated(before: Manifest, after: Manifest) -> bool:
    """Whether more than the note has changed, by which tls-sync knows what it compared the copy with."""
    if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
        return False
    has_new_note = _note(before) != _note(after)
    return not has_new_note or without_note(before) != without_note(after)


def _note(secret: Manifest) -> str | None:
    return (secret["metadata"].get("annotations") or {}).get(NOTE)


def without_note(secret: Manifest) -> Manifest:
    """Return a Secret without the note by which tls-sync knows what it compared it with."""
    metadata = secret["metadata"]
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != NOTE}
    managers = [one for one in metadata.get("managedFields") or [] if one["manager"] != NOTE_MANAGER]
    rest = {"annotations": annotations, "managedFields": managers, "resourceVersion": ""}
    return {**secret, "metadata": {**metadata, **rest}}
