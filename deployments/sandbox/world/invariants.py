"""What must hold while tls-sync works, judged by what clusters hold and by their audit logs.

It knows nothing of tasks/ (a test asserts that):

1. at every moment a copy is absent, or is one whole version that OPS has had under its name;
2. nothing of others is changed, and no request is made that tls-sync has no reason to make;
3. the notBefore of a copy never goes down as long as the copy is valid;
4. after a clean run every copy is OPS's;
5. a second clean run writes nothing but notes;
6. the audit logs have as many successful writes as were reported.
"""

import base64
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.clusters.audit_log import AuditLog, Entry
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import (
    ACCOUNT,
    NOTE_MANAGER,
    Contents,
    Evidence,
    Place,
    Snapshot,
    differences,
    secrets_on,
)

ADMIN = "sandbox-admin"
OURS = {"app.kubernetes.io/managed-by": "tls-sync", "tls-sync.io/owner": "ops"}
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectrulesreviews"})
SAMPLE_SECONDS = 0.05
"""Seconds between two samples of the copies."""


class Oracle:
    def __init__(
        self,
        sandbox: Sandbox,
        routed: Mapping[str, Collection[str]],
        issued: Callable[[], Iterable[Manifest]],
    ) -> None:
        """`routed`: namespaces of each cluster; `issued`: all versions of Secrets that were put on OPS."""
        self._routed, self._issued = routed, issued
        self._servers = {name: sandbox.cluster(name) for name in (SOURCE_CLUSTER, *routed)}
        self._logs = {name: AuditLog(server) for name, server in self._servers.items()}
        self._newest: dict[Place, tuple[datetime, datetime]] = {}
        self._seen: dict[str, None] = {}
        """Objections, each once."""
        self._lock = threading.Lock()
        self.samples = 0
        self.look()

    def look(self) -> None:
        """Judge from here on."""
        for log in self._logs.values():
            log.begin()
        self._before = self._foreign()
        self._newest.clear()
        self._seen.clear()
        for cluster in self._routed:
            self._sample(cluster)

    @contextmanager
    def watching(self, *clusters: str) -> Iterator[None]:
        """Sample the copies of these clusters again and again meanwhile."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(SAMPLE_SECONDS):
                for cluster in clusters:
                    try:
                        self._sample(cluster)
                    except (OSError, http.client.HTTPException, AdminError):
                        continue  # the server is down, which is what the test is about

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def objections(self) -> list[str]:
        """1, 2 and 3 since the last look."""
        self._settle()
        for cluster in self._routed:
            self._sample(cluster)
        return [*self._seen, *self._unlawful(), *self._disturbed()]

    def written(self, cluster: str) -> Counter[str]:
        """Secret -> how often tls-sync wrote it successfully since the last look."""
        self._logs[cluster].settle()
        return Counter(
            _object(entry)
            for entry in self._writes(cluster)
            if entry["responseStatus"]["code"] < http.client.BAD_REQUEST
        )

    def writes_tried(self) -> list[str]:
        """5: requests to change something but notes, successful or not, since the last look."""
        self._settle()
        return [
            f"{cluster}: {entry['verb']} {entry['requestURI']}"
            for cluster in self._servers
            for entry in self._writes(cluster)
        ]

    def misreported(self, applied: Mapping[str, Collection[str]]) -> list[str]:
        """6: where the audit log and the reported writes differ."""
        return [
            f"{cluster}: reported {sorted(reported)}, written {sorted(written.elements())}"
            for cluster, reported in applied.items()
            if (written := self.written(cluster)) != Counter(reported)
        ]

    def differences(self) -> list[str]:
        """4: copies that are not what OPS has now."""
        secrets = secrets_on(*self._servers.values())
        names = {p.name for p in secrets if (p.cluster, p.namespace) == (SOURCE_CLUSTER, SOURCE_NAMESPACE)}
        routed = {
            Place(cluster, namespace, name): name
            for cluster, namespaces in self._routed.items()
            for namespace in namespaces
            for name in sorted(names)
        }
        lost = [place for place, one in secrets.items() if self._is_copy(place, one) and place not in routed]
        return [*differences(secrets, routed), *(f"{place} is of nothing on OPS" for place in sorted(lost))]

    def _settle(self) -> None:
        for log in self._logs.values():
            log.settle()

    def _writes(self, cluster: str) -> Iterator[Entry]:
        for entry in self._logs[cluster].of(ACCOUNT):
            is_write = entry["verb"] in WRITES and entry["objectRef"]["resource"] not in REVIEWS
            if is_write and _manager(entry) != NOTE_MANAGER:
                yield entry

    def _is_copy(self, place: Place, secret: Manifest) -> bool:
        return is_ours(secret) and place.namespace in self._routed.get(place.cluster, ())

    def _foreign(self) -> Snapshot:
        """The Secrets that are no copies of ours."""
        secrets: Contents = secrets_on(*self._servers.values())
        return Snapshot({p: secret for p, secret in secrets.items() if not self._is_copy(p, secret)}, {})

    def _disturbed(self) -> Iterator[str]:
        """2, by what is there: foreign Secrets that changed, and not by the tests' own requests."""
        evidence = Evidence(self._before, self._foreign())
        for place in sorted(evidence.created | evidence.updated | evidence.deleted):
            log = self._logs[place.cluster]
            by_tests = {_object(entry) for entry in log.of(ADMIN) if entry["verb"] in WRITES}
            if not by_tests & {f"{place.namespace}/{place.name}", f"{place.namespace}/"}:
                yield f"{place} is not ours and was changed"

    def _unlawful(self) -> Iterator[str]:
        """2, by the requests: verbs, resources and namespaces that tls-sync has no reason for."""
        for cluster, log in self._logs.items():
            for entry in log.of(ACCOUNT):
                if not self._is_lawful(cluster, entry):
                    yield f"{cluster}: {entry['verb']} {entry['requestURI']}"

    def _is_lawful(self, cluster: str, entry: Entry) -> bool:
        about: dict[str, str] = entry.get("objectRef") or {}
        verb: str = entry["verb"]
        resource, namespace = about.get("resource"), about.get("namespace", "")
        if resource in REVIEWS:
            return verb == "create"
        if resource == "namespaces":
            return (verb, about.get("name")) == ("get", "kube-system")
        if cluster == SOURCE_CLUSTER:
            readable = resource in ("secrets", "certificates") and verb in ("get", "list")
            return readable and namespace == SOURCE_NAMESPACE
        if resource != "secrets" or namespace not in self._routed[cluster]:
            return False
        # An apply, or the patch before it, or a note.
        written = verb == "patch" and _manager(entry) in ("tls-sync", NOTE_MANAGER)
        return written or verb in ("get", "list")

    def _sample(self, cluster: str) -> None:
        """1 and 3, of what is there now."""
        for namespace in self._routed[cluster]:
            for secret in self._servers[cluster].admin.secrets(namespace):
                if is_ours(secret):
                    self._judge(Place(cluster, namespace, secret["metadata"]["name"]), secret)
        self.samples += 1

    def _judge(self, place: Place, copy: Manifest) -> None:
        pair = pair_of(copy)
        issued = (pair_of(one) for one in self._issued() if one["metadata"]["name"] == place.name)
        with self._lock:
            if pair not in issued:
                self._seen[f"{place} is no version of OPS's {place.name}"] = None
                return
            begins, ends = _validity(pair[0])
            newest, good_until = self._newest.get(place, (begins, ends))
            if begins < newest and good_until > datetime.now(UTC):
                self._seen[f"{place} went back from {newest} to {begins}"] = None
            self._newest[place] = begins, ends


def _manager(entry: Entry) -> str:
    """The field manager of a request."""
    return ",".join(parse_qs(urlsplit(entry["requestURI"]).query).get("fieldManager") or [])


def is_ours(secret: Manifest) -> bool:
    labels = secret["metadata"].get("labels") or {}
    return OURS.items() <= labels.items()


def pair_of(secret: Manifest) -> tuple[str, str]:
    data = secret.get("data") or {}
    return data.get("tls.crt", ""), data.get("tls.key", "")


@lru_cache(maxsize=4096)
def _validity(tls_crt: str) -> tuple[datetime, datetime]:
    leaf = x509.load_pem_x509_certificates(base64.b64decode(tls_crt))[0]
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


def _object(entry: Entry) -> str:
    """`namespace/name` of what was written; `namespace/` for all in it."""
    about = entry.get("objectRef") or {}
    return f"{about.get('namespace', '')}/{about.get('name', '')}"
