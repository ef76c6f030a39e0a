"""The independent witness of the tests: what clusters hold, by plain HTTP, and what their audit logs tell.

It knows nothing of tasks/ (a test holds that), and judges what tls-sync did from outside:

1. at every moment a copy is absent, or whole in one version that OPS has had under its name;
2. nothing that isn't ours is changed, and nothing is asked that the tool has no business to ask;
3. the notBefore of a copy never goes down while what it holds is still good;
4. after a clean run every copy is OPS's;
5. a second clean run writes nothing;
6. no key is shown;
7. the audit logs have as many successful writes as were reported.
"""

import base64
import http.client
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.control_plane import Sandbox
from tests.support.secret_scan import found_in

ACCOUNT, ADMIN = "system:serviceaccount:tls-sync:tls-sync", "sandbox-admin"
SOURCE, SOURCE_NAMESPACE = "ops", "certificates-ops"
OURS = {"app.kubernetes.io/managed-by": "tls-sync", "tls-sync.io/owner": "ops"}
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectrulesreviews"})
PAUSE = 0.05
"""Seconds between two looks at the copies."""
SETTLE_SECONDS = 60

Manifest = dict[str, Any]
Entry = dict[str, Any]


class Log:
    """What a cluster's audit log has got since `begin`."""

    def __init__(self, server: ApiServer) -> None:
        self._server, self._path = server, server.directory / "audit.log"
        self._position, self._rest, self.entries = 0, b"", list[Entry]()

    def begin(self) -> None:
        self._position, self._rest = self._path.stat().st_size, b""
        self.settle()
        self.entries.clear()

    def settle(self) -> None:
        """Until the log has all that was answered before: a request of our own must come to stand in it."""
        mark = f"/version?oracle={uuid.uuid4()}"
        self._ask(mark)
        deadline = time.monotonic() + SETTLE_SECONDS
        while not any(entry["requestURI"] == mark for entry in self._more()):
            assert time.monotonic() < deadline, f"the audit log of {self._server.name} does not go on"
            time.sleep(0.02)

    def _ask(self, path: str) -> None:
        for _ in range(100):  # a server that was just started may need a moment
            try:
                self._server.admin.get(path)
            except (OSError, http.client.HTTPException, AdminError):
                time.sleep(0.1)
            else:
                return
        self._server.admin.get(path)

    def _more(self) -> list[Entry]:
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        self._position += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        found = [json.loads(line) for line in lines if line]
        self.entries += found
        return found

    def of(self, user: str) -> Iterator[Entry]:
        return (e for e in self.entries if e["user"].get("username") == user and e["stage"] != "Panic")


class Oracle:
    def __init__(
        self,
        sandbox: Sandbox,
        routed: Mapping[str, Collection[str]],
        book: Callable[[], Iterable[Manifest]],
    ) -> None:
        """`routed`: the namespaces per cluster; `book`: every version of a Secret that was put on OPS."""
        self._routed, self._book = routed, book
        self._servers = {name: sandbox.cluster(name) for name in (SOURCE, *routed)}
        self._logs = {name: Log(server) for name, server in self._servers.items()}
        self._newest: dict[str, tuple[datetime, datetime]] = {}
        self._seen: dict[str, None] = {}
        """Objections, each once."""
        self._lock = threading.Lock()
        self.samples = 0
        self.look()

    def look(self) -> None:
        """From here on: whatever was before is not judged any more."""
        for log in self._logs.values():
            log.begin()
        self._before = {name: self._foreign(name) for name in self._servers}
        self._newest.clear()
        self._seen.clear()
        for cluster in self._routed:
            self._sample(cluster)

    @contextmanager
    def watching(self, *clusters: str) -> Iterator[None]:
        """Meanwhile the copies of these clusters are looked at again and again."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(PAUSE):
                for cluster in clusters:
                    try:
                        self._sample(cluster)
                    except (OSError, http.client.HTTPException, AdminError):
                        continue  # it is down, which is what the test is about

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def objections(self) -> list[str]:
        """Against what was done since the last look: 1, 2 and 3."""
        found = []
        for cluster in self._servers:
            self._logs[cluster].settle()
            if cluster in self._routed:
                self._sample(cluster)
            found += [*self._unlawful(cluster), *self._disturbed(cluster)]
        return [*self._seen, *found]

    def written(self, cluster: str) -> Counter[str]:
        """Secret -> how often tls-sync wrote it with success since the last look."""
        self._logs[cluster].settle()
        return Counter(
            f"{entry['objectRef']['namespace']}/{entry['objectRef']['name']}"
            for entry in self._logs[cluster].of(ACCOUNT)
            if entry["objectRef"]["resource"] not in REVIEWS and entry["verb"] in WRITES
            if entry["responseStatus"]["code"] < http.client.BAD_REQUEST
        )

    def writes_tried(self) -> list[str]:
        """Requests to change something, successful or not, since the last look: 5 asks for none."""
        for log in self._logs.values():
            log.settle()
        return [
            f"{cluster}: {entry['verb']} {entry['requestURI']}"
            for cluster, log in self._logs.items()
            for entry in log.of(ACCOUNT)
            if entry["verb"] in WRITES and entry["objectRef"]["resource"] not in REVIEWS
        ]

    def misreported(self, applied: Mapping[str, Collection[str]]) -> list[str]:
        """Where the audit log and what was reported as written differ: 7."""
        return [
            f"{cluster}: reported {sorted(told)}, written {sorted(written.elements())}"
            for cluster, told in applied.items()
            if (written := self.written(cluster)) != Counter(told)
        ]

    def differences(self) -> list[str]:
        """Copies that aren't what OPS has now: 4."""
        source = self._servers[SOURCE].admin.secrets(SOURCE_NAMESPACE)
        wanted = {secret["metadata"]["name"]: secret["data"] for secret in source}
        found = []
        for cluster, namespaces in self._routed.items():
            for namespace in namespaces:
                held = {one["metadata"]["name"]: one["data"] for one in self._copies(cluster, namespace)}
                found += [
                    f"{cluster} {namespace}/{name} is not OPS's"
                    for name in sorted({*wanted, *held})
                    if wanted.get(name) != held.get(name)
                ]
        return found

    def shown(self, text: str) -> set[str]:
        """Secrets whose private key stands in a text, in any encoding: 6."""
        keys = {
            f"{secret['metadata']['name']} {number}": base64.b64decode(secret["data"]["tls.key"])
            for number, secret in enumerate(self._book())
        }
        return found_in(text.encode(), keys)

    def _copies(self, cluster: str, namespace: str) -> list[Manifest]:
        return [secret for secret in self._servers[cluster].admin.secrets(namespace) if is_ours(secret)]

    def _foreign(self, cluster: str) -> dict[str, str]:
        """The resourceVersion of each Secret that is no copy of ours."""
        routed = self._routed.get(cluster, ())
        return {
            name_of(secret): secret["metadata"]["resourceVersion"]
            for secret in self._servers[cluster].admin.list("/api/v1/secrets")
            if not (is_ours(secret) and secret["metadata"]["namespace"] in routed)
        }

    def _disturbed(self, cluster: str) -> Iterator[str]:
        """2, by what is there: foreign Secrets that changed, and not by the tests' own hand."""
        before, now = self._before[cluster], self._foreign(cluster)
        by_us = {_object(entry) for entry in self._logs[cluster].of(ADMIN) if entry["verb"] in WRITES}
        for name in sorted({*before, *now}):
            excused = name in by_us or f"{name.partition('/')[0]}/" in by_us
            if before.get(name) != now.get(name) and not excused:
                yield f"{cluster}: {name} is not ours and was changed"

    def _unlawful(self, cluster: str) -> Iterator[str]:
        """2, by what was asked: verbs, resources and namespaces beyond the tool's business."""
        for entry in self._logs[cluster].of(ACCOUNT):
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
        if cluster == SOURCE:
            readable = resource in ("secrets", "certificates") and verb in ("get", "list")
            return readable and namespace == SOURCE_NAMESPACE
        if resource != "secrets" or namespace not in self._routed[cluster]:
            return False
        manager = parse_qs(urlsplit(entry["requestURI"]).query).get("fieldManager")
        written = verb == "patch" and manager == ["tls-sync"]  # an apply, or the patch that comes before it
        return written or verb in ("get", "list")

    def _sample(self, cluster: str) -> None:
        """1 and 3, of what is there at this moment."""
        for namespace in self._routed[cluster]:
            for copy in self._copies(cluster, namespace):
                self._judge(f"{cluster} {name_of(copy)}", copy)
        self.samples += 1

    def _judge(self, place: str, copy: Manifest) -> None:
        pair = pair_of(copy)
        name = copy["metadata"]["name"]
        with self._lock:
            if not any(one["metadata"]["name"] == name and pair_of(one) == pair for one in self._book()):
                self._seen[f"{place} is no version of OPS's {name}"] = None
                return
            begins, ends = life_of(pair[0])
            newest, good_until = self._newest.get(place, (begins, ends))
            if begins < newest and good_until > datetime.now(UTC):
                self._seen[f"{place} went back from {newest} to {begins}"] = None
            self._newest[place] = begins, ends


def is_ours(secret: Manifest) -> bool:
    labels = secret["metadata"].get("labels") or {}
    return OURS.items() <= labels.items()


def name_of(secret: Manifest) -> str:
    return f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"


def pair_of(secret: Manifest) -> tuple[str, str]:
    data = secret.get("data") or {}
    return data.get("tls.crt", ""), data.get("tls.key", "")


@lru_cache(maxsize=4096)
def life_of(tls_crt: str) -> tuple[datetime, datetime]:
    leaf = x509.load_pem_x509_certificates(base64.b64decode(tls_crt))[0]
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


def _object(entry: Entry) -> str:
    """`namespace/name` of what was written; `namespace/` for all in it."""
    about = entry.get("objectRef") or {}
    return f"{about.get('namespace', '')}/{about.get('name', '')}"
