"""Records every version of Secrets and Certificates on real clusters, by watches over plain HTTP, and judges.

It knows nothing of tasks/: what a copy may be follows from the versions that OPS had, and from X.509.
"""

import base64
import http.client
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.further_keys import FURTHER_KEYS
from tests.support.waiting import until

COPIED = ("tls.crt", "tls.key", "ca.crt")
TEMPORARY = "CN=cert-manager.local"
_SECRETS = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets"
_CERTIFICATES = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates"


@dataclass(frozen=True)
class Event:
    cluster: str
    kind: str
    """`Secret` or `Certificate`."""
    type: str
    """`ADDED` (also of what was there before), `MODIFIED` or `DELETED`."""
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def data(self) -> dict[str, str]:
        """Encoded data under the keys that are copied; cert-manager leaves an empty ca.crt."""
        data = self.object.get("data", {})
        return {key: data[key] for key in COPIED if data.get(key)}


class Recorder:
    """All events in the order in which each watch delivered them."""

    def __init__(self, ops: Admin, targets: Mapping[str, Admin], namespace: str) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()
        self._closed = False
        copies = f"/api/v1/namespaces/{namespace}/secrets"
        self._watched = [("ops", "Secret", ops, _SECRETS), ("ops", "Certificate", ops, _CERTIFICATES)]
        self._watched += [(name, "Secret", admin, copies) for name, admin in targets.items()]
        for watched in self._watched:
            threading.Thread(target=self._follow, args=watched, daemon=True).start()

    def close(self) -> None:
        self._closed = True

    def of(self, cluster: str, kind: str = "Secret", name: str = "") -> list[Event]:
        with self._lock:
            found = [one for one in self.events if (one.cluster, one.kind) == (cluster, kind)]
        return [one for one in found if one.name == name] if name else found

    def objections(self) -> list[str]:
        """What no copy may ever be, in the words of a test's failure.

        The events of the copies are read before those of OPS: while certificates are renewed, a copy's event
        may arrive before the event of the Secret on OPS that it was made of.
        """
        clusters = sorted({cluster for cluster, *_ in self._watched} - {"ops"})
        self._catch_up(clusters)
        copies = {cluster: self.of(cluster) for cluster in clusters}
        self._catch_up(["ops"])
        return [text for cluster in clusters for text in self._objections_to(copies[cluster])]

    def _objections_to(self, copies: list[Event]) -> Iterator[str]:
        newest: dict[str, int] = {}
        on_ops = {name: self._versions(name) for name in {copy.name for copy in copies}}
        for copy in copies:
            where = f"{copy.cluster} {copy.name}"
            if copy.type == "DELETED":
                yield f"{where} was deleted"
                continue
            yield from (f"{where} {problem}" for problem in _problems(copy))
            versions = on_ops[copy.name]
            if copy.data not in versions:
                yield f"{where} has data that OPS never had under this name"
                continue
            position = len(versions) - 1 - versions[::-1].index(copy.data)
            if position < newest.get(copy.name, 0):
                yield f"{where} went back to an older version"
            newest[copy.name] = position

    def _versions(self, name: str) -> list[dict[str, str]]:
        """Return each different data that OPS's Secret had, the oldest first."""
        found: list[dict[str, str]] = []
        for event in self.of("ops", name=name):
            if not found or found[-1] != event.data:
                found.append(event.data)
        return found

    def _catch_up(self, clusters: Collection[str]) -> None:
        """Wait until the record has what these clusters have now, or a later version of it."""
        for cluster, kind, admin, path in self._watched:
            for one in admin.list(path) if cluster in clusters else []:
                where = f"{cluster} {one['metadata']['name']}"
                until(f"the record of {where}", partial(self._has, cluster, kind, one))

    def _has(self, cluster: str, kind: str, one: Mapping[str, Any]) -> bool:
        found = self.of(cluster, kind, one["metadata"]["name"])
        return any(_version(event.object) >= _version(one) for event in found)

    def _follow(self, cluster: str, kind: str, admin: Admin, path: str) -> None:
        seen: set[str] = set()
        while not self._closed:
            with suppress(OSError, AdminError, http.client.HTTPException):
                listed = admin.get(path)
                for one in listed["items"]:
                    if one["metadata"]["resourceVersion"] not in seen:
                        self._store(seen, Event(cluster, kind, "ADDED", one))
                since = listed["metadata"]["resourceVersion"]
                for event in admin.watch(f"{path}?watch=1&resourceVersion={since}&timeoutSeconds=3600"):
                    if event["type"] != "ERROR":
                        self._store(seen, Event(cluster, kind, event["type"], event["object"]))

    def _store(self, seen: set[str], event: Event) -> None:
        seen.add(event.object["metadata"]["resourceVersion"])
        with self._lock:
            self.events.append(event)


def _version(of: Mapping[str, Any]) -> int:
    """Return the resourceVersion: etcd's revision, which grows with each write on a cluster."""
    return int(of["metadata"]["resourceVersion"])


def _problems(copy: Event) -> Iterator[str]:
    """Problems that a copy has whatever OPS had."""
    if copy.object["type"] != "kubernetes.io/tls":
        yield f"has the type {copy.object['type']}"
    extra = sorted(set(copy.object.get("data", {})) - set(COPIED) - FURTHER_KEYS)
    if extra:
        yield f"has the keys {', '.join(extra)}"
    leaf = leaf_of(copy.data)
    if leaf.issuer.rfc4514_string() == TEMPORARY:
        yield "is temporary"
    key = load_pem_private_key(base64.b64decode(copy.data["tls.key"]), None)
    if key.public_key() != leaf.public_key():
        yield "is half of one version and half of another"


def leaf_of(data: Mapping[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificates(base64.b64decode(data["tls.crt"]))[0]


@contextmanager
def recorder(ops: Admin, targets: Mapping[str, Admin], namespace: str) -> Iterator[Recorder]:
    """Record meanwhile."""
    found = Recorder(ops, targets, namespace)
    try:
        yield found
    finally:
        found.close()
