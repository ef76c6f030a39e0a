"""A Kubernetes API in memory, with the requests that tls-sync uses; edits by others; connections that fail.

tests/apiserver/test_contract.py compares it with a real API server. All code above Transport is the real one.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Self

from tasks.domain.failure_codes import FailureCode
from tasks.kube.client import APPLY, JSON, MERGE, METADATA, TABLE, ClusterClient
from tasks.kube.responses import ResponseError, parse_response
from tasks.kube.transport import Request, Response, Transport, TransportError

Manifest = dict[str, Any]
Path = tuple[str, ...]
Answer = tuple[int, Manifest]
Exchange = Callable[[Request], Answer]

ADMIN, ACCOUNT = "admin", "system:serviceaccount:tls-sync:tls-sync"
READS, WRITES = frozenset({"get", "list"}), frozenset({"get", "list", "create", "patch"})
TLS = "kubernetes.io/tls"
SECRETS = re.compile(r"/api/v1/namespaces/([^/]+)/secrets(?:/([^/]+))?")
NAMESPACES, ROLE_BINDINGS = "/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/rolebindings"
NAMESPACE = re.compile(r"/api/v1/namespaces/([^/]+)")
OWN_KEYS = frozenset({"tls.crt", "tls.key", "ca.crt"})
OWNED_BY: Path = ("metadata", "labels", "tls-sync.io/owner")
NOTES = ("tls-sync.io/orphaned-since", "tls-sync.io/orphaned-seen", "tls-sync.io/orphaned-runs")
SET_BY_OTHERS = frozenset({"tls-sync.io/adopt", *NOTES})
"""Annotations that we may remove and never set: the policy is that of a cluster without `prune: true`."""
BEGUN = "2026-01-01T00:00:00Z"


class Denied(Exception):
    def __init__(self, status: int, kind: str = "secrets", cause: str = "") -> None:
        super().__init__(status, kind)
        causes = {"causes": [{"reason": cause}]} if cause else {}
        status_of = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "code": status,
        }
        self.answer: Answer = status, status_of | {"details": ({"kind": kind} if kind else {}) | causes}


@dataclass(frozen=True)
class Secret:
    """One state of a Secret: its fields by path, and the managers of each field."""

    namespace: str
    name: str
    fields: Mapping[Path, Any] = field(default_factory=dict)
    managers: Mapping[tuple[str, str], frozenset[Path]] = field(default_factory=dict)
    uid: str = ""
    version: int = 0
    terminating: bool = False
    written: str = BEGUN

    def manifest(self) -> Manifest:
        metadata = {"name": self.name, "namespace": self.namespace, "uid": self.uid}
        metadata |= {"resourceVersion": str(self.version), "creationTimestamp": BEGUN}
        found: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        found["metadata"] |= {"deletionTimestamp": BEGUN} if self.terminating else {}
        for path, value in self.fields.items():
            if path[:2] == ("metadata", "finalizers"):
                found["metadata"].setdefault("finalizers", []).append(value)
            else:
                _put(found, path, value)
        found["metadata"]["managedFields"] = [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": "v1",
                "time": self.written,
                "fieldsV1": _fields_v1(paths),
            }
            for (manager, operation), paths in sorted(self.managers.items())
        ]
        return found

    def row(self) -> Manifest:
        data = sum(path[0] == "data" for path in self.fields)
        metadata = {"kind": "PartialObjectMetadata", "metadata": self.manifest()["metadata"]}
        return {"cells": [self.name, self.fields["type",], data, "1d"], "object": metadata}


@dataclass(frozen=True)
class EtcdSnapshot:
    version: int
    secrets: Mapping[tuple[str, str], Secret]


def _put(tree: Manifest, path: Path, value: Any) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = value


def _fields_v1(paths: Iterable[Path]) -> Manifest:
    tree: Manifest = {}
    for path in sorted(paths):
        last = f'v:"{path[-1]}"' if "finalizers" in path else f"f:{path[-1]}"
        _put(tree, (*(f"f:{step}" for step in path[:-1]), last), {})
    return tree


def _is_barred(path: Path, keys: frozenset[str], *, gone: bool) -> bool:
    """Return whether the policy forbids us to set this field, or to remove it (`gone`)."""
    match path:
        case ("data", key):
            return not gone and key not in keys
        case ("metadata", "annotations", key):
            return key == "tls-sync.io/prune" or (key in SET_BY_OTHERS and not gone)
        case _:
            return path == ("immutable",) or path[1:2] == ("finalizers",)


def fields_of(manifest: Manifest) -> dict[Path, Any]:
    """Return every field that can have a manager, by path."""
    metadata = manifest.get("metadata") or {}
    found: dict[Path, Any] = {("data", key): value for key, value in (manifest.get("data") or {}).items()}
    for part in ("labels", "annotations"):
        found |= {("metadata", part, key): value for key, value in (metadata.get(part) or {}).items()}
    found |= {("metadata", "finalizers", one): one for one in metadata.get("finalizers") or []}
    return found | {(key,): manifest[key] for key in ("type", "immutable") if manifest.get(key) is not None}


def merged(tree: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    tree = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            tree.pop(key, None)
        else:
            tree[key] = merged(tree.get(key), value)
    return tree


class MemoryApi:
    """One API server. `grants` are the verbs on Secrets that tls-sync has, by namespace."""

    def __init__(
        self, grants: Mapping[str, frozenset[str]], *, policy: bool = True, keys: frozenset[str] = OWN_KEYS
    ) -> None:
        """`policy` is tasks/setup/target/admission-policy.yaml; `keys` are what it allows in data."""
        self._keys = keys
        self.namespaces, self.ending, self.uid = set(grants), set[str](), str(uuid.uuid4())
        self.labels: dict[str, dict[str, str]] = {}
        """Labels of namespaces."""
        self.bound = set[str]()
        """Namespaces that have a RoleBinding to tls-sync-receiver."""
        self._grants, self._policy, self._lock = grants, policy, threading.RLock()
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._pages: dict[str, tuple[int, list[Secret]]] = {}
        self._version = 100
        self._writes = 0
        """Seconds since BEGUN: each write takes place one second after the one before."""
        self.clock: Callable[[], datetime | None] = lambda: datetime.now(UTC).replace(microsecond=0)
        """Returns the Date header of responses; None for responses without one."""

    def exchange(self, ask: Request, user: str = ADMIN) -> Answer:
        with self._lock:
            try:
                return self._route(ask, user)
            except Denied as denied:
                return denied.answer

    def answer(self, ask: Request) -> Response:
        """Respond as Transport does, to tls-sync's account."""
        reply = reply_of(self.exchange(ask, ACCOUNT))._replace(date=self.clock())
        return reply._replace(content=ask.extract(reply.content)) if ask.extract else reply

    def _route(self, ask: Request, user: str) -> Answer:
        kind = (ask.body or {}).get("kind", "")
        if ask.method == "POST" and ask.path.endswith("/selfsubjectreviews"):
            return 201, {"kind": kind, "metadata": {}, "status": {"userInfo": {"username": user}}}
        if ask.method == "POST" and ask.path.endswith("/selfsubjectrulesreviews"):
            verbs = sorted(self._verbs((ask.body or {})["spec"]["namespace"], user))
            rules = [{"verbs": verbs, "apiGroups": [""], "resources": ["secrets"]}] if verbs else []
            return 201, {"kind": kind, "metadata": {}, "status": {"resourceRules": rules}}
        if found := NAMESPACE.fullmatch(ask.path):
            if user != ADMIN and found[1] != "kube-system":
                raise Denied(403, "namespaces")
            if found[1] not in self.namespaces | {"kube-system"}:
                raise Denied(404, "namespaces")
            whole = "PartialObjectMetadata" if ask.accept == METADATA else "Namespace"
            return 200, {"kind": whole, "metadata": {"name": found[1], "uid": self.uid}}
        if ask.path in (NAMESPACES, ROLE_BINDINGS):
            selected = self._labelled(ask) if ask.path == NAMESPACES else self.bound
            items = [{"metadata": {"name": one, "namespace": one}} for one in sorted(selected)]
            return 200, {"kind": "PartialObjectMetadataList", "metadata": {}, "items": items}
        if found := SECRETS.fullmatch(ask.path):
            return self._secret(ask, user, found[1], found[2] or "")
        raise Denied(404, "")

    def _verbs(self, namespace: str, user: str) -> frozenset[str]:
        if user == ADMIN:
            return frozenset({"*"})
        return WRITES if namespace in self.bound else self._grants.get(namespace, frozenset())

    def _labelled(self, ask: Request) -> set[str]:
        key, _, value = (ask.query or {})["labelSelector"].partition("=")
        return {one for one in self.namespaces if self.labels.get(one, {}).get(key) == value}

    def _secret(self, ask: Request, user: str, namespace: str, name: str) -> Answer:
        verbs = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "PUT": "update"}
        verb, may = verbs.get(ask.method, "delete"), self._verbs(namespace, user)
        if "*" not in may and verb not in may:
            raise Denied(403)
        if verb == "list":
            return self._list(ask, namespace)
        body, manager = ask.body or {}, (ask.query or {}).get("fieldManager", "unknown")
        now = self._secrets.get((namespace, name or body.get("metadata", {}).get("name", "")))
        if verb == "create":
            if now:
                raise Denied(409)
            new = Secret(namespace, body["metadata"]["name"])
            fields = {("type",): "Opaque", **fields_of(body)}
            return 201, self._update(new, fields, manager, user)
        if verb == "patch" and ask.content_type == APPLY:
            absent = Secret(namespace, name)
            return (200 if now else 201), self._apply(now or absent, body, ask.query or {}, user)
        if now is None:
            raise Denied(404)
        if verb == "get":
            table = {"kind": "Table", "columnDefinitions": COLUMNS, "metadata": {}, "rows": [now.row()]}
            return 200, table if ask.accept == TABLE else now.manifest()
        if verb == "delete":
            return 200, self._delete(now, body.get("preconditions") or {})
        _require_state(now, body)
        new_body = body if verb == "update" else merged(now.manifest(), body)
        found = self._update(now, fields_of(new_body), manager, user)
        metadata_only = {"kind": "PartialObjectMetadata", "metadata": found["metadata"]}
        return 200, metadata_only if ask.accept == METADATA else found

    def _list(self, ask: Request, namespace: str) -> Answer:
        query = ask.query or {}
        version, found = self._pages.pop(
            query.get("continue", ""), (self._version, self._found(query, namespace))
        )
        limit = int(query.get("limit", "0")) or len(found)
        page, rest = found[:limit], found[limit:]
        metadata = {"resourceVersion": str(version)}
        if rest:
            metadata["continue"] = str(uuid.uuid4())
            self._pages[metadata["continue"]] = (version, rest)
        if ask.accept == TABLE:
            rows = {"columnDefinitions": COLUMNS, "rows": [one.row() for one in page]}
            return 200, {"kind": "Table", "metadata": metadata} | rows
        items = [{k: v for k, v in one.manifest().items() if k not in ("kind", "apiVersion")} for one in page]
        return 200, {"kind": "SecretList", "metadata": metadata, "items": items}

    def _found(self, query: Mapping[str, str], namespace: str) -> list[Secret]:
        wanted = [one for one in query.get("labelSelector", "").split(",") if one]
        kind = query.get("fieldSelector", "").removeprefix("type=")

        def matches(one: Secret) -> bool:
            labels = {
                path[2]: value for path, value in one.fields.items() if path[:2] == ("metadata", "labels")
            }
            fits = (
                one[1:] not in labels
                if one.startswith("!")
                else labels.get(one.partition("=")[0]) == one.partition("=")[2]
                for one in wanted
            )
            return kind in ("", one.fields["type",]) and all(fits)

        return [one for key, one in sorted(self._secrets.items()) if key[0] == namespace and matches(one)]

    def _apply(self, now: Secret, body: Manifest, query: Mapping[str, str], user: str) -> Manifest:
        """Server-side apply, as structured-merge-diff does it."""
        me, sent = (query["fieldManager"], "Apply"), fields_of(body)
        others = {who: paths for who, paths in now.managers.items() if who != me}
        shared = frozenset[Path]().union(*others.values())
        dropped = now.managers.get(me, frozenset()) - set(sent) - shared
        new = {path: value for path, value in {**now.fields, **sent}.items() if path not in dropped}
        touched = {path for path, value in new.items() if now.fields.get(path) != value}
        if query.get("force") != "true" and any(paths & touched for paths in others.values()):
            raise Denied(409)
        managers = {who: paths - touched - dropped for who, paths in others.items()} | {me: frozenset(sent)}
        given = body.get("metadata", {})
        if now.uid and given.get("resourceVersion", str(now.version)) != str(now.version):
            raise Denied(409)
        if given.get("uid", now.uid) != now.uid:
            raise Denied(422 if now.uid else 409)
        return self._store(now, replace(now, fields={("type",): "Opaque", **new}, managers=managers), user)

    def _update(self, now: Secret, new: Mapping[Path, Any], manager: str, user: str) -> Manifest:
        me = (manager, "Update")
        touched = {path for path, value in new.items() if now.fields.get(path) != value}
        gone = set(now.fields) - set(new)
        managers = {
            who: paths - gone - (touched if who != me else frozenset()) for who, paths in now.managers.items()
        }
        managers[me] = managers.get(me, frozenset()) | touched
        return self._store(now, replace(now, fields=new, managers=managers), user)

    def _store(self, now: Secret, new: Secret, user: str) -> Manifest:
        new = replace(new, managers={who: paths for who, paths in new.managers.items() if paths})
        if not now.uid:
            if now.namespace not in self.namespaces:
                raise Denied(404, "namespaces")
            if now.namespace in self.ending:
                raise Denied(403, cause="NamespaceTerminating")
            new = replace(new, uid=str(uuid.uuid4()))
        self._validate(now, new)
        if user == ACCOUNT and self._policy:
            self._admit(now, new)
        if new.terminating and not _finalizers(new):
            del self._secrets[now.namespace, now.name]
            return new.manifest()
        if new != now:
            self._version, self._writes = self._version + 1, self._writes + 1
            written = datetime.fromisoformat(BEGUN) + timedelta(seconds=self._writes)
            new = replace(new, version=self._version, written=f"{written:%Y-%m-%dT%H:%M:%SZ}")
        self._secrets[now.namespace, now.name] = new
        return new.manifest()

    def etcd_snapshot(self) -> EtcdSnapshot:
        return EtcdSnapshot(self._version, dict(self._secrets))

    def restore_etcd(self, snapshot: EtcdSnapshot) -> None:
        """Put back all objects and the revision, so that resourceVersions come again; time goes on."""
        self._version, self._secrets = snapshot.version, dict(snapshot.secrets)

    @staticmethod
    def _validate(now: Secret, new: Secret) -> None:
        def data(one: Secret) -> Manifest:
            return {path[1]: value for path, value in one.fields.items() if path[0] == "data"}

        held = now.fields.get(("immutable",)) is True
        wrong = (
            new.fields["type",] == TLS and not {"tls.crt", "tls.key"} <= set(data(new)),
            bool(now.uid) and now.fields["type",] != new.fields["type",],
            held and (data(now) != data(new) or new.fields.get(("immutable",)) is not True),
            new.terminating and not _finalizers(new) <= _finalizers(now),
        )
        if any(wrong):
            raise Denied(422)

    def _admit(self, now: Secret, new: Secret) -> None:
        managed = ("metadata", "labels", "app.kubernetes.io/managed-by")
        asks = ("metadata", "annotations", "tls-sync.io/adopt") in now.fields
        was_ours, is_ours = (one.fields.get(managed) == "tls-sync" for one in (now, new))
        if new.fields["type",] != TLS or not is_ours or (now.uid and not was_ours and not asks):
            raise Denied(403)
        gone = set(now.fields) - set(new.fields)
        for path in gone | {path for path, value in new.fields.items() if now.fields.get(path) != value}:
            if _is_barred(path, self._keys, gone=path in gone) or (
                was_ours and path == OWNED_BY and path in now.fields
            ):
                raise Denied(403)

    def _delete(self, now: Secret, given: Mapping[str, str]) -> Manifest:
        here = {"uid": now.uid, "resourceVersion": str(now.version)}
        if any(here[key] != value for key, value in given.items()):
            raise Denied(409)
        if not _finalizers(now):
            del self._secrets[now.namespace, now.name]
            return {"kind": "Status", "metadata": {}, "status": "Success"}
        if not now.terminating:
            self._version += 1
            now = replace(now, terminating=True, version=self._version)
            self._secrets[now.namespace, now.name] = now
        return now.manifest()


COLUMNS = [{"name": name} for name in ("Name", "Type", "Data", "Age")]


def _finalizers(one: Secret) -> set[Path]:
    return {path for path in one.fields if path[:2] == ("metadata", "finalizers")}


def _require_state(now: Secret, body: Manifest) -> None:
    """Refuse a patch or update whose uid or resourceVersion is not that of the object."""
    given = body.get("metadata", {})
    if given.get("resourceVersion", str(now.version)) != str(now.version):
        raise Denied(409)
    if given.get("uid", now.uid) != now.uid:
        raise Denied(422)


def reply_of(answer: Answer) -> Response:
    status, content = answer[0], json.dumps(answer[1]).encode()
    parsed = parse_response(status, content)
    if isinstance(parsed, ResponseError):
        raise TransportError(parsed)
    return Response(status, parsed, len(content))


class Hand:
    """Changes by people and tools to the Secrets of one cluster, with all permissions."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def get(self, namespace: str, name: str) -> Manifest | None:
        status, found = self.exchange(Request("GET", path_of(namespace, name), JSON))
        return found if status == 200 else None

    def names(self, namespace: str) -> list[str]:
        _, found = self.exchange(Request("GET", path_of(namespace), JSON))
        return [one["metadata"]["name"] for one in found["items"]]

    def create(self, secret: Manifest, manager: str = "kubectl-create") -> Answer:
        path, query = path_of(secret["metadata"]["namespace"]), {"fieldManager": manager}
        return self.exchange(Request("POST", path, JSON, query, secret))

    def patch(self, namespace: str, name: str, changes: Manifest, manager: str = "kubectl-edit") -> Answer:
        query = {"fieldManager": manager}
        return self.exchange(Request("PATCH", path_of(namespace, name), JSON, query, changes, MERGE))

    def apply(self, secret: Manifest, manager: str, *, force: bool = True) -> Answer:
        path = path_of(secret["metadata"]["namespace"], secret["metadata"]["name"])
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self.exchange(Request("PATCH", path, JSON, query, secret, APPLY))

    def delete(self, namespace: str, name: str) -> Answer:
        return self.exchange(Request("DELETE", path_of(namespace, name), JSON))

    def annotate(self, namespace: str, name: str, **values: str | None) -> Answer:
        return self.patch(namespace, name, {"metadata": {"annotations": values}})

    def label(self, namespace: str, name: str, **values: str | None) -> Answer:
        return self.patch(namespace, name, {"metadata": {"labels": values}})

    def hold(self, namespace: str, name: str, finalizers: list[str] | None) -> Answer:
        return self.patch(namespace, name, {"metadata": {"finalizers": finalizers}})

    def restore(self, namespace: str, snapshot: Mapping[str, Manifest]) -> None:
        """Restore the Secrets of a namespace from manifests by name."""
        for name in {*self.names(namespace), *snapshot}:
            self.delete(namespace, name)
            if name in snapshot:
                self.create(snapshot[name], "restore")


def path_of(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


class Fault(Enum):
    """How a call can fail."""

    LOST_REQUEST = auto()
    LOST_ANSWER = auto()
    UNAVAILABLE = auto()
    THROTTLED = auto()
    FORBIDDEN = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


PROBLEMS = {
    Fault.LOST_REQUEST: ResponseError(FailureCode.CONNECTION_LOST, transient=True),
    Fault.LOST_ANSWER: ResponseError(FailureCode.CONNECTION_LOST, transient=True),
    Fault.UNAVAILABLE: ResponseError(FailureCode.SERVER_ERROR, "HTTP 503", transient=True),
    Fault.THROTTLED: ResponseError(FailureCode.THROTTLED, "HTTP 429", transient=True),
    Fault.FORBIDDEN: ResponseError(FailureCode.FORBIDDEN, "HTTP 403"),
}


class Killed(BaseException):
    """The process was killed: it sends nothing more to any cluster."""


Event = Fault | Callable[[], object]


@dataclass
class Written:
    """A write that took place."""

    path: str
    before: Manifest | None
    after: Manifest
    manager: str = ""
    """The field manager."""


class Wire(Transport):
    """One run's connection to one cluster. It records requests and writes; `at` schedules an event."""

    def __init__(
        self,
        answer: Callable[[Request], Response],
        look: Callable[[str], Manifest | None],
        on_write: Callable[[Written], object] = lambda _: None,
    ) -> None:
        self._answer, self._look, self._on_write = answer, look, on_write
        self._events: list[tuple[int, str, Event]] = []
        self.asked: list[Request] = []
        self.written: list[Written] = []
        self.faults = 0
        self.dead = False

    def at(self, number: int, event: Event, method: str = "") -> Self:
        """Let the event happen with the n-th request from now, counted from 0, of this method or of any."""
        self._events.append((number, method, event))
        return self

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def request(self, ask: Request) -> Response:
        fault = self._due(ask)
        if fault is Fault.KILLED_BEFORE or self.dead:
            self.dead = True
            raise Killed
        self.asked.append(ask)
        if fault and fault not in (Fault.LOST_ANSWER, Fault.KILLED_AFTER):
            raise TransportError(PROBLEMS[fault])
        before = self._look(ask.path) if ask.method == "PATCH" else None
        reply = self._answer(ask)
        if ask.method == "PATCH":
            manager = (ask.query or {}).get("fieldManager", "")
            self.written.append(Written(ask.path, before, self._look(ask.path) or reply.content, manager))
            self._on_write(self.written[-1])
        if fault is Fault.KILLED_AFTER:
            self.dead = True
            raise Killed
        if fault:
            raise TransportError(PROBLEMS[fault])
        return reply

    def _due(self, ask: Request) -> Fault | None:
        due: Fault | None = None
        waiting, self._events = self._events, []
        for number, method, event in waiting:
            counts = method in ("", ask.method)
            if not counts or number:
                self._events.append((number - counts, method, event))
            elif isinstance(event, Fault):
                due, self.faults = event, self.faults + 1
            else:
                event()
        return due


class WiredClient(ClusterClient):
    """The real client on a Wire."""

    def __init__(self, cluster: str, wire: Wire) -> None:
        self._cluster, self.credential_expires_at, self.deadline = cluster, None, float("inf")
        self._transport = wire
