"""The independent witness: what the clusters hold, read with an administrator's eyes.

Knows nothing of tasks/: where each copy belongs is written down here once more.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER

_ACCOUNT = "system:serviceaccount:tls-sync:tls-sync"


class Place(NamedTuple):
    """Where a Secret lies."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster} {self.namespace}/{self.name}"


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
    """All Secrets of all clusters that run, and how often tls-sync has asked each one for anything."""

    secrets: Contents
    requests: Mapping[str, int]

    @property
    def clusters(self) -> frozenset[str]:
        return frozenset(self.requests)


def look(sandbox: Sandbox, clusters: Collection[str] | None = None) -> Snapshot:
    """Of all clusters that run, or of these alone."""
    running = [name for name in sandbox.names if sandbox.cluster(name).process is not None]
    if clusters is not None:
        running = [name for name in running if name in clusters]
    secrets = {
        Place(name, secret["metadata"]["namespace"], secret["metadata"]["name"]): secret
        for name in running
        for secret in sandbox.cluster(name).admin.list("/api/v1/secrets")
    }
    requests = {
        name: sum(entry["user"]["username"] == _ACCOUNT for entry in sandbox.cluster(name).audit())
        for name in running
    }
    return Snapshot(secrets, requests)


@dataclass(frozen=True)
class Evidence:
    """The clusters before and after a run."""

    before: Snapshot
    after: Snapshot

    @property
    def created(self) -> set[Place]:
        return set(self.after.secrets) - set(self.before.secrets)

    @property
    def updated(self) -> set[Place]:
        """Written, by their resourceVersion, even where the content is the same."""
        both = set(self.before.secrets) & set(self.after.secrets)
        return {place for place in both if _version(self.before, place) != _version(self.after, place)}

    @property
    def asked(self) -> set[str]:
        """Clusters that tls-sync sent a request to."""
        now, then = self.after.requests, self.before.requests
        return {name for name in now if now[name] != then.get(name)}

    @property
    def seen(self) -> dict[Place, str]:
        """The copies on clusters that run."""
        return {place: source for place, source in COPIES.items() if place.cluster in self.after.clusters}

    def objections(self, written: Collection[Place], left_alone: Collection[str] = ()) -> list[str]:
        """What is not as it should be: copies like OPS's, `written` ones written, all else untouched."""
        gone = set(self.before.secrets) - set(self.after.secrets)
        changed = self.created | self.updated
        return [
            *(text for place, source in self.seen.items() for text in self._compare(place, source)),
            *(f"{place} was deleted" for place in sorted(gone)),
            *(f"{place} was written, and should not have been" for place in sorted(changed - set(written))),
            *(f"{place} was not written" for place in sorted(set(written) - changed)),
            *(
                f"{name} got requests, and should have got none"
                for name in sorted(self.asked & set(left_alone))
            ),
        ]

    def _compare(self, place: Place, source: str) -> Iterator[str]:
        original = self.after.secrets[Place(SOURCE_CLUSTER, SOURCE_NAMESPACE, source)]
        copy = self.after.secrets.get(place)
        if copy is None:
            yield f"{place} is not there"
            return
        if copy["type"] != original["type"]:
            yield f"{place} has the type {copy['type']}, OPS's {source} has {original['type']}"
        mine, theirs = copy.get("data", {}), original["data"]
        keys = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
        if keys:
            yield f"{place} differs from OPS's {source} in {', '.join(keys)}"

    def counts(self, cluster: str) -> tuple[int, int]:
        """Secrets created and updated on a cluster."""
        created = sum(place.cluster == cluster for place in self.created)
        return created, sum(place.cluster == cluster for place in self.updated)


def _version(snapshot: Snapshot, place: Place) -> str:
    return str(snapshot.secrets[place]["metadata"]["resourceVersion"])
