"""Anything may happen in any order on OPS, on a target and on the way: what holds after each step of it.

`TLS_SYNC_STEPS=10000 pytest tests/unit/plan/test_state_machine.py` takes so many steps, others each
time; without it, a thousand that are always the same. Nothing here asks tasks/ what is ours, whole or newer.
"""

import base64
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from tasks.config.load import parse_config
from tasks.config.metadata import Metadata
from tasks.config.routes import Route
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.annotations import NOTE, NOTE_MANAGER
from tasks.domain.errors import ClusterError
from tasks.domain.models import ClusterReport, CopyRequest, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.client import APPLY, MERGE
from tasks.kube.transport import USER_AGENT_OF_DATA, Request, Response
from tasks.plan.requests import granted
from tasks.plan.spec import SyncSpec
from tasks.source import read as source_reader
from tasks.source import statuses as certificate_reader
from tasks.source.read import list_source, read_source
from tasks.target import entries
from tasks.target import notes as note_writer
from tasks.target import sync as delivery
from tasks.target import write as writer
from tasks.target.sync import sync
from tests.support.formats import FURTHER, with_formats
from tests.support.in_memory_api import (
    OWN_KEYS,
    READS,
    WRITES,
    EtcdSnapshot,
    Event,
    Fault,
    Hand,
    Killed,
    Manifest,
    MemoryApi,
    Wire,
    WiredClient,
    Written,
    path_of,
)

STEPS = os.environ.get("TLS_SYNC_STEPS")
NAMES = ("web-a", "web-b")
TARGETS = (
    ("app-a", "web-a"),
    ("app-a", "web-b"),
    ("app-b", "web-b"),
    ("app-c", "web-a"),
    ("app-b", "web-a"),
)
BY_LABEL = ("app-b", "web-b")
"""A shared route sends it, as long as the cluster has the label."""
BY_NAMESPACE = ("app-c", "web-a")
"""A route sends it as long as its namespace has a label, and lets us."""
CONTESTED = ("app-a", "web-b")
"""As long as the cluster has another label, web-a is sent there, too."""
ON_REQUEST = ("app-b", "web-a")
"""Its Certificate may ask for it; no route sends it."""
ROUTES: list[dict[str, Any]] = [
    {"certificates": ["web-*"], "namespaces": ["app-a"]},
    {"certificates": ["other-*"], "namespaces": ["app-b"]},
    {"certificates": ["web-a*"], "namespaceSelector": {"receives": "web"}},
]
BY_NAME = {"certificates": ["web-*"], "namespaces": ["app-{1}"]}
SHARED = [
    {"labels": {"receives": "web"}, **BY_NAME, "allowedNamespaces": ["app-b"]},
    {"labels": {"contested": "yes"}, **BY_NAME, "allowedNamespaces": ["app-a"], "name": "web-b"},
]
GIVEN = (
    Metadata(),
    Metadata(labels={"team": "ops"}),
    Metadata(labels={"team": "net"}, annotations={"example.org/reload": "true"}),
    Metadata(annotations={"example.org/reload": "true", "team": "ops"}),
)
"""What the first route gives to its copies, at one time or another."""
SENT = ((), ("key.der",), ("key.der", "tls-combined.pem"), ("keystore.p12",))
"""The further keys that it sends."""
LIMITS = [
    {
        "clusters": ["dev"],
        "certificates": ["web-a"],
        "namespaces": ["app-b"],
        "hostnames": ["web-a.example.org"],
    }
]
ASKING: dict[str, tuple[CopyRequest | None, list[str]]] = {
    "nothing": (None, []),
    "what a limit covers": (CopyRequest(secret="web-a", certificates=("a",), asked=("dev/app-b",)), []),
    "that, and more": (
        CopyRequest(secret="web-a", certificates=("a",), asked=("dev/app-b", "dev/app-x", "rct/app-b")),
        ["RequestBeyondLimits"],
    ),
    "of another Secret": (
        CopyRequest(secret="web-b", certificates=("b",), asked=("dev/app-b",)),
        ["RequestBeyondLimits"],
    ),
    "what can't be read": (
        CopyRequest(secret="web-a", certificates=("a",), fault="it is not text"),
        ["RequestInvalid"],
    ),
    "two at once": (
        CopyRequest(secret="web-a", certificates=("a", "b"), asked=("dev/app-b",)),
        ["RequestConflict"],
    ),
}
"""What Certificates ask for, and what of it is refused."""
GRANTED = ("what a limit covers", "that, and more")
Data = dict[str, str]
NOW = datetime.now(UTC).replace(microsecond=0)
ISSUER = Issuer()
CA = base64.b64encode(ISSUER.root.pem).decode()
NEWER = 200
"""So many hours newer than all that OPS has."""


@cache
def issued(name: str, number: int, *, expired: bool = False) -> Data:
    """A certificate that begins `number` hours after the first one."""
    begin = NOW - timedelta(days=20) + timedelta(hours=number)
    end = NOW - timedelta(hours=1) if expired else begin + timedelta(days=90)
    data: Data = ISSUER.secret(name, [f"{name}.example.org"], not_before=begin, not_after=end)["data"]
    return data


@cache
def leaf(certificate: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(certificate))[0]
    except ValueError:
        return None


@cache
def is_pair(certificate: str, key: str) -> bool:
    found = leaf(certificate)
    try:
        private = load_pem_private_key(base64.b64decode(key), None)
    except ValueError:
        return False
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return found is not None and found.public_key().public_bytes(*spki) == private.public_key().public_bytes(
        *spki
    )


def begin_of(secret: Manifest | None) -> datetime | None:
    """When what a Secret holds began; None where it holds nothing that is of use still."""
    data = (secret or {}).get("data") or {}
    found = leaf(data.get("tls.crt", ""))
    if not found or not is_pair(data["tls.crt"], data.get("tls.key", "")):
        return None
    if "ca.crt" in data and not leaf(data["ca.crt"]):
        return None
    return found.not_valid_before_utc if found.not_valid_after_utc > NOW else None


def texts(secret: Manifest, part: str) -> Mapping[str, str]:
    return secret["metadata"].get(part) or {}


def content_of(secret: Manifest | None) -> tuple[Any, ...] | None:
    """Data, labels and annotations but the note."""
    if secret is None:
        return None
    annotations = {key: one for key, one in texts(secret, "annotations").items() if key != NOTE}
    return secret.get("data"), texts(secret, "labels"), annotations


def source_of(secret: Manifest) -> str | None:
    return texts(secret, "annotations").get("tls-sync.io/source")


def is_ours(secret: Manifest) -> bool:
    labels, managers = texts(secret, "labels"), secret["metadata"].get("managedFields", [])
    return (
        labels.get("app.kubernetes.io/managed-by") == "tls-sync"
        and labels.get("tls-sync.io/owner") == "ops"
        and bool(texts(secret, "annotations").get("tls-sync.io/source"))
        and any(one["manager"] == "tls-sync" for one in managers)
        and texts(secret, "annotations").get(STAMP) != ELSEWHERE
    )


def asks_for_us(secret: Manifest) -> bool:
    labels = texts(secret, "labels")
    others = labels.get("app.kubernetes.io/managed-by") == "tls-sync" and (
        labels.get("tls-sync.io/owner", "ops"),
        texts(secret, "annotations").get(STAMP) == ELSEWHERE,
    ) != ("ops", False)
    return texts(secret, "annotations").get("tls-sync.io/adopt") in ("ops", LET_GO) and not others


def has_formats(data: Data, keys: Collection[str]) -> bool:
    """Whether a Secret on OPS has these keys, and the combined ones hold what they should."""
    right = with_formats(data)
    return all(key in data and (key == "keystore.p12" or data[key] == right[key]) for key in keys)


def would_lose_keys(secret: Manifest, sent: Collection[str]) -> bool:
    """Whether taking it over would take off what we don't send, though nobody said that it may go."""
    further = set(secret["data"]) - {"tls.crt", "tls.key", "ca.crt", *sent}
    return bool(further) and texts(secret, "annotations").get("tls-sync.io/adopt") != LET_GO


def is_blocked(secret: Manifest, begin: datetime, sent: Collection[str] = ()) -> bool:
    """Whether there is a reason not to write a certificate of this begin over a Secret."""
    data_managers = [
        one["manager"] for one in secret["metadata"]["managedFields"] if "f:data" in one.get("fieldsV1", {})
    ]
    held = (begin_of(secret) or begin) > begin
    return (
        not (is_ours(secret) or asks_for_us(secret))
        or (not is_ours(secret) and would_lose_keys(secret, sent))
        or "deletionTimestamp" in secret["metadata"]
        or "immutable" in secret
        or secret["type"] != "kubernetes.io/tls"
        or any(manager.startswith("cert-manager") for manager in data_managers)
        or held
    )


Doing = Callable[[Hand, str, str], object]
Place = tuple[str, str]
"""Namespace and name of a Secret."""
Deed = tuple[str, str]
"""Kind and name of what someone does to it."""


def editing(number: int, *keys: str, expired: bool = False, manager: str = "kubectl-edit") -> Doing:
    def edit(hand: Hand, namespace: str, name: str) -> None:
        data = issued(name, number, expired=expired)
        hand.patch(namespace, name, {"data": {key: data[key] for key in keys}}, manager)

    return edit


def stealing(number: int, kind: str = "kubernetes.io/tls", **annotations: str) -> Doing:
    def steal(hand: Hand, namespace: str, name: str) -> None:
        hand.delete(namespace, name)
        metadata = {"name": name, "namespace": namespace, "annotations": annotations}
        hand.create(secret_of(metadata, issued(name, number)) | {"type": kind})

    return steal


def patching(**changes: Any) -> Doing:
    return lambda hand, namespace, name: hand.patch(namespace, name, changes)


def tagging(part: str, key: str, value: str | None) -> Doing:
    return patching(metadata={part: {key: value}})


def co_own(hand: Hand, namespace: str, name: str) -> None:
    if found := hand.get(namespace, name):
        metadata = {"name": name, "namespace": namespace}
        hand.apply(secret_of(metadata, found["data"]) | {"type": found["type"]}, "deployer")


def terminate(hand: Hand, namespace: str, name: str) -> None:
    hand.hold(namespace, name, ["example.org/hold"])
    hand.delete(namespace, name)


def delete(hand: Hand, namespace: str, name: str) -> None:
    hand.hold(namespace, name, None)
    hand.delete(namespace, name)


def secret_of(metadata: Manifest, data: Mapping[str, str]) -> Manifest:
    whole = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
    return whole | {"metadata": metadata, "data": dict(data)}


ADOPT, LAST_APPLIED = "tls-sync.io/adopt", "kubectl.kubernetes.io/last-applied-configuration"
OWNED_BY, OWNER = "app.kubernetes.io/managed-by", "tls-sync.io/owner"
PAIR = ("tls.crt", "tls.key")
STAMP, ELSEWHERE = "tls-sync.io/source-cluster", "00000000-0000-4000-8000-000000000000"
LET_GO = "ops,lose-other-keys"
GARBAGE = base64.b64encode(b"garbage").decode()
EDITS: dict[str, Doing] = {
    "tls.crt": editing(1, "tls.crt"),
    "tls.key": editing(1, "tls.key"),
    "both": editing(1, *PAIR),
    "both, newer": editing(NEWER, *PAIR),
    "tls.crt, newer": editing(NEWER, "tls.crt"),
    "both, newer and expired": editing(NEWER, *PAIR, expired=True),
    "garbage": patching(data={"tls.crt": GARBAGE}),
    "empty": patching(data={"tls.crt": ""}),
    "the same by another manager": co_own,
    "the fingerprint": tagging("annotations", "tls-sync.io/fingerprint", "x"),
    "the source": tagging("annotations", "tls-sync.io/source", "certificates-ops/web-b"),
    "the begin": tagging("annotations", "tls-sync.io/not-before", "2020-01-01"),
    "no end": tagging("annotations", "tls-sync.io/not-after", None),
    "a team's label": tagging("labels", "team", "web"),
    "no team's label": tagging("labels", "team", None),
    "an annotation of the route": tagging("annotations", "example.org/reload", "false"),
    "what the route gave": tagging("annotations", "tls-sync.io/metadata", None),
}
ADDITIONS: dict[str, Doing] = {
    "another key": patching(data={"extra": GARBAGE}),
    "ca.crt": patching(data={"ca.crt": GARBAGE}),
    "no ca.crt": patching(data={"ca.crt": None}),
    "key.der": patching(data={"key.der": GARBAGE}),
    "no key.der": patching(data={"key.der": None}),
}
THEFTS: dict[str, Doing] = {
    "another": stealing(1),
    "a newer one": stealing(NEWER),
    "another type": stealing(1, "Opaque"),
    "a kubectl loop's, that asks for us": stealing(1, **{ADOPT: "ops", LAST_APPLIED: "{}"}),
    "cert-manager's": editing(2, *PAIR, manager="cert-manager-certificates-issuing"),
}
LABELS: dict[str, Doing] = {
    "off": tagging("labels", OWNED_BY, None),
    "on": tagging("labels", OWNED_BY, "tls-sync"),
    "other owner": tagging("labels", OWNER, "stage"),
    "own owner": tagging("labels", OWNER, "ops"),
    "ask for us": tagging("annotations", ADOPT, "ops"),
    "ask for us, other keys may go": tagging("annotations", ADOPT, LET_GO),
    "another OPS": tagging("annotations", STAMP, ELSEWHERE),
    "no OPS": tagging("annotations", STAMP, None),
}
MARKS: dict[str, Doing] = {
    "no note": tagging("annotations", NOTE, None),
    "a spoilt note": tagging("annotations", NOTE, "spoilt"),
    "immutable": patching(immutable=True),
    "mutable": patching(immutable=False),
    "unmarked": patching(immutable=None),
}
DELETIONS: dict[str, Doing] = {
    "held back": terminate,
    "release": lambda hand, namespace, name: hand.hold(namespace, name, None),
    "delete": delete,
}
DEEDS = {
    "edit": EDITS,
    "add": ADDITIONS,
    "steal": THEFTS,
    "label": LABELS,
    "mark": MARKS,
    "delete": DELETIONS,
}
PLACES = st.sampled_from(TARGETS)


def deeds(*kinds: str) -> st.SearchStrategy[Deed]:
    return st.sampled_from([(kind, name) for kind in kinds for name in DEEDS[kind]])


FaultAt = tuple[str, int, str, Event]
FAULTS: st.SearchStrategy[FaultAt] = st.one_of(
    st.tuples(st.just("dev"), st.integers(0, 1), st.just("PATCH"), st.sampled_from(Fault)),
    st.tuples(st.just("dev"), st.integers(0, 6), st.just(""), st.sampled_from(Fault)),
    st.tuples(st.just("ops"), st.integers(0, 3), st.just(""), st.sampled_from(Fault)),
)


@dataclass
class Fleet:
    """OPS and one target: hands with all rights, and the ways of tls-sync's account."""

    hands: Mapping[str, Hand]
    ways: Mapping[str, Callable[[Request], Response]]
    config: SyncConfig
    unlabelled: SyncConfig
    """The same without the label that the shared route selects."""
    contested: SyncConfig
    """The same with a label that another route selects."""
    mark: Callable[[bool, bool], object]
    """Labels namespace app-c, or not, and binds our role there, or not."""
    ops: MemoryApi | None = None
    """OPS, where it is in memory and can be restored from a snapshot of etcd."""

    def wire(self, cluster: str, on_write: Callable[[Written], object] = lambda _: None) -> Wire:
        exchange = self.hands[cluster].exchange

        def look(path: str) -> Manifest | None:
            status, found = exchange(Request("GET", path, "application/json"))
            return found if status == 200 else None

        return Wire(self.ways[cluster], look, on_write)


def configs_for(cluster_id: str) -> tuple[SyncConfig, SyncConfig, SyncConfig]:
    """Return the configuration of a cluster with the label, without it, and with one more."""
    labels: tuple[dict[str, str], ...] = ({"receives": "web"}, {}, {"receives": "web", "contested": "yes"})
    with_label, without, with_both = (_config_for(cluster_id, one) for one in labels)
    return with_label, without, with_both


def _config_for(cluster_id: str, labels: dict[str, str]) -> SyncConfig:
    cluster = {
        "name": "dev",
        "context": "cluster-dev",
        "clusterId": cluster_id,
        "labels": labels,
        "routes": ROUTES,
    }
    shared = {
        "routes": SHARED,
        "selfService": LIMITS,
        "hostnames": [{"clusters": ["d*"], "names": ["*.example.org"]}],
    }
    source = {"namespace": SOURCE_NAMESPACE, "context": "cluster-ops"}
    return parse_config({"owner": "ops", "source": source, "clusters": [cluster], **shared})


def memory_fleet() -> Fleet:
    target = MemoryApi({"app-a": WRITES, "app-b": WRITES}, keys=OWN_KEYS | {*FURTHER})
    target.namespaces.add("app-c")

    def mark(labelled: bool, bound: bool) -> None:
        target.labels["app-c"] = {"receives": "web"} if labelled else {}
        target.bound = {"app-c"} if bound else set()

    apis = {"ops": MemoryApi({SOURCE_NAMESPACE: READS}), "dev": target}
    hands = {name: Hand(api.exchange) for name, api in apis.items()}
    ways = {name: api.answer for name, api in apis.items()}
    return Fleet(hands, ways, *configs_for(apis["dev"].uid), mark, apis["ops"])


@dataclass
class Run:
    ops: Wire
    dev: Wire
    report: ClusterReport | None = None
    """None where it was killed, or could not read OPS."""

    @property
    def copies(self) -> list[Written]:
        """The writes but those of notes."""
        return [one for one in self.dev.written if one.manager != NOTE_MANAGER]

    @property
    def wrote(self) -> set[str]:
        return {one.path for one in self.copies}

    @property
    def asked_for_data(self) -> bool:
        return any(ask.user_agent == USER_AGENT_OF_DATA for ask in (*self.ops.asked, *self.dev.asked))

    @property
    def rows(self) -> dict[str, tuple[str, str]]:
        """What a next run is to say of each Secret, if nothing happens in between."""
        assert self.report
        return {
            path_of(row.target.namespace, row.target.name): ("keep", "InSync")
            if row.applied
            else (row.action.value, row.reason.value)
            for row in self.report.changes
        }


def target_client(run: Run, cluster: Cluster) -> WiredClient:
    client = WiredClient("dev", run.dev)
    client.given_metadata = cluster.metadata_keys
    return client


@contextmanager
def wired(run: Run) -> Iterator[None]:
    """Clients on the wires of this run; one thread each, so that the same steps give the same story."""
    with (
        patch.object(delivery, "client_of_target", lambda _, cluster, *__: target_client(run, cluster)),
        patch.object(delivery, "client_of_source", lambda *_: WiredClient("OPS", run.ops)),
        patch.object(entries, "client_of_source", lambda *_: WiredClient("OPS", run.ops)),
        patch.object(source_reader, "MAX_CONNECTIONS", 1),
        patch.object(certificate_reader, "MAX_CONNECTIONS", 1),
        patch.object(note_writer, "MAX_CONNECTIONS", 1),
        patch.object(delivery, "MAX_CONNECTIONS", 1),
        patch.object(writer, "MAX_CONNECTIONS", 1),
    ):
        yield


class SyncMachine(RuleBasedStateMachine):
    """Its rules and laws, for any fleet."""

    make_fleet: Callable[[], Fleet]

    def __init__(self) -> None:
        super().__init__()
        self.fleet = fleet = type(self).make_fleet()
        self.ops, self.dev = fleet.hands["ops"], fleet.hands["dev"]
        self.base, self.given = fleet.config, GIVEN[0]
        self.sent: tuple[str, ...] = ()
        self.asking = "nothing"
        self.number = 2
        self.on_ops: dict[str, Data] = {}
        self.snapshots: list[dict[str, Data]] = [{}]
        self.etcd_snapshots: list[tuple[EtcdSnapshot, dict[str, Data]]] = []
        self.inventories: list[SourceSnapshot] = []
        self.ever: set[frozenset[tuple[str, str]]] = set()
        """All that OPS had at any time, each with all of its keys."""
        self.edited: set[Place] = set()
        self.allow(labelled=True, bound=True)
        for hand, namespace in ((self.ops, SOURCE_NAMESPACE), *((self.dev, f"app-{one}") for one in "abc")):
            for name in hand.names(namespace):
                hand.hold(namespace, name, None)
                hand.delete(namespace, name)

    # On OPS.

    def put(self, name: str, data: Data) -> None:
        self.set_ops(self.on_ops | {name: data})

    def set_ops(self, wanted: dict[str, Data]) -> None:
        manifests = {
            name: secret_of({"name": name, "namespace": SOURCE_NAMESPACE}, data)
            for name, data in wanted.items()
        }
        self.ops.restore(SOURCE_NAMESPACE, manifests)
        self.on_ops = wanted
        self.snapshots.append(wanted)
        self.ever |= {frozenset(data.items()) for data in wanted.values()}

    @initialize(ca=st.booleans())
    def begin(self, ca: bool) -> None:
        self.renew_all(ca)
        self.sync()

    @rule(ca=st.booleans())
    def renew_all(self, ca: bool) -> None:
        for name in NAMES:
            self.renew(name, ca)

    @rule(name=st.sampled_from(NAMES), ca=st.booleans())
    def renew(self, name: str, ca: bool) -> None:
        self.number += 1
        self.put(name, issued(name, self.number) | ({"ca.crt": CA} if ca else {}))

    @rule(name=st.sampled_from(NAMES), keys=st.sets(st.sampled_from(FURTHER)), spoilt=st.booleans())
    def format(self, name: str, keys: set[str], spoilt: bool) -> None:
        """cert-manager writes, beside the same certificate or a new one, what is asked of it."""
        data = with_formats(issued(name, self.number), keys)
        if spoilt and "key.der" in keys:
            data["key.der"] = with_formats(issued(name, 0))["key.der"]
        self.put(name, data)

    @rule(name=st.sampled_from(NAMES))
    def corrupt(self, name: str) -> None:
        """Its key is that of another certificate."""
        self.number += 1
        self.put(name, issued(name, self.number) | {"tls.key": issued(name, 0)["tls.key"]})

    @rule(name=st.sampled_from(NAMES))
    def expire(self, name: str) -> None:
        self.number += 1
        self.put(name, issued(name, self.number, expired=True))

    @rule(name=st.sampled_from(NAMES))
    def delete_on_ops(self, name: str) -> None:
        self.set_ops({known: data for known, data in self.on_ops.items() if known != name})

    @rule(back=st.integers(1, 5))
    def restore_ops(self, back: int) -> None:
        """To what it was some changes ago."""
        self.set_ops(self.snapshots[-min(back, len(self.snapshots))])

    @precondition(lambda self: self.fleet.ops)
    @rule()
    def keep_an_etcd_snapshot(self) -> None:
        assert self.fleet.ops
        self.etcd_snapshots.append((self.fleet.ops.etcd_snapshot(), self.on_ops))

    @precondition(lambda self: self.etcd_snapshots)
    @rule(renewed=st.none() | st.sampled_from(NAMES))
    def restore_etcd(self, renewed: str | None) -> None:
        """Objects keep their uid, and their next resourceVersions are some that they had before."""
        assert self.fleet.ops
        snapshot, self.on_ops = self.etcd_snapshots[-1]
        self.fleet.ops.restore_etcd(snapshot)
        if renewed in self.on_ops:
            self.number += 1
            data = issued(renewed, self.number)
            self.ops.patch(SOURCE_NAMESPACE, renewed, {"data": dict.fromkeys(("ca.crt", *FURTHER)) | data})
            self.on_ops = self.on_ops | {renewed: data}
            self.ever.add(frozenset(data.items()))

    # In the configuration.

    @rule(labelled=st.booleans(), then=st.booleans())
    def label_the_cluster(self, labelled: bool, then: bool) -> None:
        """A shared route is for it, or is not any more; its copy stays then."""
        self.base = self.fleet.config if labelled else self.fleet.unlabelled
        if then:
            self.sync()

    @rule(contested=st.booleans(), then=st.booleans())
    def contest_a_name(self, contested: bool, then: bool) -> None:
        """The placeholders of another route give web-a the name of web-b's copy."""
        self.base = self.fleet.contested if contested else self.fleet.config
        if then:
            self.sync()

    @rule(given=st.sampled_from(GIVEN), then=st.booleans())
    def give_metadata(self, given: Metadata, then: bool) -> None:
        """The first route gives its copies other labels and annotations, or none any more."""
        self.given = given
        if then:
            self.sync()

    @precondition(lambda self: self.fleet.ops)  # a real target has the policy without further keys
    @rule(sent=st.sampled_from(SENT), then=st.booleans())
    def send_keys(self, sent: tuple[str, ...], then: bool) -> None:
        """The first route sends other keys beside tls.crt, tls.key and ca.crt."""
        self.sent = sent
        if then:
            self.sync()

    @property
    def config(self) -> SyncConfig:
        (cluster,) = self.base.clusters
        changes = {"metadata": self.given, "keys": self.sent, "unverified": "keystore.p12" in self.sent}
        first = Route.model_validate({**ROUTES[0], **changes})
        routes = (first, *cluster.routes[1:])
        return self.base.model_copy(update={"clusters": (cluster.model_copy(update={"routes": routes}),)})

    @rule(what=st.sampled_from(sorted(ASKING)), then=st.booleans())
    def ask(self, what: str, then: bool) -> None:
        """A team asks for a copy in its Certificate, withdraws that, or asks beyond the limits."""
        self.asking = what
        if then:
            self.sync()

    # On the target.

    def allow(self, *, labelled: bool, bound: bool) -> None:
        self.labelled, self.bound = labelled, bound
        self.fleet.mark(labelled, bound)

    @rule(labelled=st.booleans(), bound=st.booleans(), then=st.booleans())
    def change_the_namespace(self, labelled: bool, bound: bool, then: bool) -> None:
        """Its owner asks for certificates, or does not any more, and lets us, or does not."""
        self.allow(labelled=labelled, bound=bound)
        if then:
            self.sync()

    def by_hand(self, place: Place, deed: Deed) -> None:
        kind, name = deed
        DEEDS[kind][name](self.dev, *place)
        self.edited.add(place)

    def by_hand_and_sync(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand(place, deed)
        if then:
            self.sync()

    @rule(place=PLACES, deed=deeds("edit", "add"), then=st.booleans())
    def edit(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand_and_sync(place, deed, then)

    @rule(place=PLACES, deed=deeds("steal"), then=st.booleans())
    def steal(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand_and_sync(place, deed, then)

    @rule(place=PLACES, deed=deeds("label"), then=st.booleans())
    def relabel(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand_and_sync(place, deed, then)

    @rule(place=PLACES, deed=deeds("mark"), then=st.booleans())
    def mark(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand_and_sync(place, deed, then)

    @rule(place=PLACES, deed=deeds("delete"), then=st.booleans())
    def delete(self, place: Place, deed: Deed, then: bool) -> None:
        self.by_hand_and_sync(place, deed, then)

    # Runs.

    @rule()
    def read_source(self) -> None:
        run = Run(self.fleet.wire("ops"), self.fleet.wire("dev"))
        self.inventories.append(self.inventory(run))

    def inventory(self, run: Run, *, verify: bool = False) -> SourceSnapshot:
        read = read_source if verify else list_source
        found = read(WiredClient("OPS", run.ops), self.config.source, datetime.now(UTC))
        request, _ = ASKING[self.asking]
        return found.changed(requests=(request,) if request else ())

    def run(self, *events: FaultAt, inventory: SourceSnapshot | None = None, **options: Any) -> Run:
        run = Run(self.fleet.wire("ops"), self.fleet.wire("dev", self.overwritten))
        for cluster, number, method, event in events:
            (run.ops if cluster == "ops" else run.dev).at(number, event, method)
        with wired(run):
            try:
                found = inventory or self.inventory(run, verify=options.get("verify", False))
                config, found = granted(self.config, found)
                self.check_refused(found)
                spec = SyncSpec(config, config.clusters[0], found, RunParameters(**options))
                run.report = sync(spec, float("inf"))
            except (ClusterError, Killed):
                assert run.ops.faults or run.dev.faults, "it failed by itself"
        self.check(run)
        return run

    def overwritten(self, write: Written) -> None:
        """What was edited by hand is ours again, unless only the note was written."""
        if write.manager == NOTE_MANAGER:
            return
        metadata = write.after["metadata"]
        self.edited.discard((metadata["namespace"], metadata["name"]))

    @rule()
    def sync(self) -> None:
        """Where nothing goes wrong, all that can be delivered is, and a second run has nothing to do."""
        before = {target: self.dev.get(*target) for target in TARGETS}
        first = self.run()
        assert first.report
        self.check_truth(first)
        for target in TARGETS:
            self.check_delivered(before[target], target, first)
        second, third = self.run(), self.run()
        assert second.report
        assert not second.copies, "the second run writes"
        assert not third.dev.written, "the third run writes"
        assert second.rows == third.rows == first.rows
        assert second.report.failures == first.report.failures
        unbound = [failure.code for failure in first.report.failures if "create rolebinding" in str(failure)]
        assert unbound == ["Forbidden"] * (self.labelled and not self.bound)
        if set(third.rows.values()) <= {("keep", "InSync")} and len(third.rows) == len(self.wanted):
            assert not third.asked_for_data, "a private key was read, and nothing had changed"

    @property
    def wanted(self) -> list[Place]:
        return [place for place in TARGETS if self.senders(place) and self.is_routed(place)]

    def is_routed(self, place: Place) -> bool:
        if place == BY_NAMESPACE:
            return self.labelled and self.bound
        if place == ON_REQUEST:
            return self.asking in GRANTED
        return place != BY_LABEL or self.base is not self.fleet.unlabelled

    def senders(self, place: Place) -> list[str]:
        """The certificates on OPS that routes give this name."""
        contested = place == CONTESTED and self.base is self.fleet.contested
        return [name for name in (NAMES if contested else (place[1],)) if name in self.on_ops]

    @rule()
    def verify(self) -> None:
        """A run that reads everything decides as one that relies on notes."""
        relying = self.run(dry_run=True)
        verifying = self.run(verify=True)
        self.check_truth(verifying)
        assert relying.report
        assert verifying.report
        assert [(row.target, row.action, row.reason) for row in relying.report.changes] == [
            (row.target, row.action, row.reason) for row in verifying.report.changes
        ]

    @rule(certificate=st.sampled_from(NAMES), dry_run=st.booleans())
    def sync_one(self, certificate: str, dry_run: bool) -> None:
        run = self.run(certificate=certificate, dry_run=dry_run)
        assert not (dry_run and run.dev.written)
        if not dry_run:
            self.check_truth(run)

    @precondition(lambda self: self.inventories)
    @rule(back=st.integers(1, 3))
    def sync_with_an_old_inventory(self, back: int) -> None:
        self.check_truth(self.run(inventory=self.inventories[-min(back, len(self.inventories))]))

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=3))
    def sync_with_faults(self, faults: list[FaultAt]) -> None:
        """Also those that kill it."""
        self.check_told(self.run(*faults), set())

    @rule(
        number=st.integers(0, 1),
        fault=st.sampled_from(Fault),
        place=PLACES,
        deed=st.none() | deeds("edit") | deeds("add"),
        then=st.booleans(),
    )
    def sync_with_a_failing_write(
        self, number: int, fault: Fault, place: Place, deed: Deed | None, then: bool
    ) -> None:
        """Where there is something to write; and then, it may be, all goes well."""
        if deed:
            self.by_hand(place, deed)
        else:
            self.renew_all(ca=False)
        self.check_told(self.run(("dev", number, "PATCH", fault)), set())
        if then:
            self.sync()

    @rule(number=st.integers(0, 8), renewed=st.booleans(), gone=st.none() | PLACES)
    def sync_interleaved(self, number: int, renewed: bool, gone: Place | None) -> None:
        """Another whole run takes place in the middle of one, and OPS may be newer then."""
        inner: list[Run] = []
        if gone:
            self.by_hand(gone, ("delete", "delete"))

        def meanwhile() -> None:
            if renewed:
                self.renew_all(ca=False)
            inner.append(self.run())

        run = self.run(("dev", number, "", meanwhile))
        self.check_told(run, {path for one in inner for path in one.wrote})

    @rule(number=st.integers(0, 8), place=PLACES, deed=deeds(*DEEDS))
    def sync_meanwhile(self, number: int, place: Place, deed: Deed) -> None:
        """Someone does something in the middle of a run."""
        run = self.run(("dev", number, "", lambda: self.by_hand(place, deed)))
        self.check_told(run, {path_of(*place)})

    @rule(number=st.integers(0, 8), name=st.sampled_from(NAMES), back=st.booleans())
    def sync_while_ops_changes(self, number: int, name: str, back: bool) -> None:
        change = (lambda: self.restore_ops(2)) if back else (lambda: self.renew(name, ca=False))
        self.check_truth(self.run(("dev", number, "", change)))

    # Laws.

    def check(self, run: Run) -> None:
        """Of every run, whatever happened to it."""
        for ask in (*run.ops.asked, *run.dev.asked):
            review = ask.method == "POST" and ask.path.rpartition("/")[2].startswith("selfsubject")
            assert (
                review
                or ask.method == "GET"
                or (ask.method, ask.content_type) == ("PATCH", APPLY)
                or _is_bound(ask)
            )
        assert not run.ops.written
        for write in run.dev.written:
            self.check_write(write)

    def check_refused(self, found: SourceSnapshot) -> None:
        """What goes beyond the limits is told, unless a route of the configuration sends it anyway."""
        ((asking, refused),) = [
            (name, told) for name, (one, told) in ASKING.items() if found.requests == ((one,) if one else ())
        ]
        by_route = asking == "of another Secret" and self.is_routed(BY_LABEL)
        assert [one.reason for one in found.refused_requests] == ([] if by_route else refused)

    def check_write(self, write: Written) -> None:
        before, after = write.before, write.after
        if before is not None:
            assert is_ours(before) or asks_for_us(before), "a foreign Secret was written"
        assert is_ours(after)
        assert after["type"] == "kubernetes.io/tls"
        if write.manager == NOTE_MANAGER:
            assert before is not None
            assert after["data"] == before["data"], "a note changed data"
            return
        assert self.is_of_ops(after["data"]), "not what OPS had at any time, key by key"
        assert is_pair(after["data"]["tls.crt"], after["data"]["tls.key"]), "they don't fit"
        assert has_formats(after["data"], after["data"].keys() & {*FURTHER}), "a format does not fit"
        begun, begins = begin_of(before), begin_of(after)
        assert begins
        if before is not None and source_of(before) != source_of(after):
            return  # the routes now send another certificate
        assert begun is None or begun <= begins, "a valid newer certificate was replaced by an older one"

    def is_of_ops(self, data: Mapping[str, str]) -> bool:
        """Whether OPS had this at some time: all that every copy gets, and of the further keys these."""
        return any(
            {key: text for key, text in held if key in data or key not in FURTHER} == data
            for held in self.ever
        )

    def check_truth(self, run: Run) -> None:
        """Without faults: what the report calls written was written, and nothing else."""
        assert run.report
        applied = {
            path_of(row.target.namespace, row.target.name) for row in run.report.changes if row.applied
        }
        assert applied == run.wrote

    def check_told(self, run: Run, by_others: set[str]) -> None:
        """With faults: each write is in the report, as a write or as a failure, and none is made up."""
        if run.report is None:
            return
        rows = {path_of(row.target.namespace, row.target.name): row for row in run.report.changes}
        applied = {path for path, row in rows.items() if row.applied}
        assert applied <= run.wrote | by_others
        failed = " ".join(failure.what for failure in run.report.failures)
        untold = {path for path in run.wrote - applied - by_others if str(rows[path].target) not in failed}
        assert not untold

    def check_delivered(self, before: Manifest | None, target: tuple[str, str], run: Run) -> None:
        """What is fit on OPS is on the target, whole, or there is a reason."""
        senders, now = self.senders(target), self.dev.get(*target)
        wanted = self.on_ops[senders[0]] if senders else None
        if not self.is_routed(target) or len(senders) > 1:
            assert path_of(*target) not in run.wrote, "no route sends it, or several certificates are sent"
            assert content_of(now) == content_of(before)
            told = run.rows.get(path_of(*target))
            assert (told == ("refuse", "TargetCollision")) == (len(senders) > 1)
            return
        source = {"data": wanted} if wanted else None
        begin = begin_of(source)
        by_first = target[0] == "app-a" and senders == [target[1]]  # others go by routes with placeholders
        sent = self.sent if by_first else ()
        if wanted is None or begin is None or not is_pair(wanted["tls.crt"], wanted["tls.key"]):
            assert path_of(*target) not in run.wrote
        elif not has_formats(wanted, sent) or (
            before is not None and is_blocked(before, begin, sent) and not self.has_moved(before, target, run)
        ):
            assert run.rows[path_of(*target)][0] == "refuse"
            assert now == before
        else:
            assert now is not None
            assert is_ours(now)
            assert now["data"] == {key: wanted[key] for key in wanted if key not in {*FURTHER} - {*sent}}
            self.check_metadata(now, self.given if by_first else GIVEN[0])

    def has_moved(self, before: Manifest, target: Place, run: Run) -> bool:
        """Whether the routes now send another certificate there: its dates are compared with no other's."""
        sender = f"{SOURCE_NAMESPACE}/{self.senders(target)[0]}"
        return source_of(before) != sender and path_of(*target) in run.wrote

    def check_metadata(self, copy: Manifest, given: Metadata) -> None:
        """A copy has what its route gives, and nothing of ours beside that and our own."""
        assert given.labels.items() <= texts(copy, "labels").items()
        assert given.annotations.items() <= texts(copy, "annotations").items()
        (entry,) = (
            one["fieldsV1"]["f:metadata"]
            for one in copy["metadata"]["managedFields"]
            if (one["manager"], one["operation"]) == ("tls-sync", "Apply")
        )
        for part, wanted in (("labels", given.labels), ("annotations", given.annotations)):
            written = {key.removeprefix("f:") for key in entry[f"f:{part}"]} - {"."}
            assert {key for key in written if "tls-sync" not in key} - {OWNED_BY} == {*wanted}

    @invariant()
    def every_copy_is_whole(self) -> None:
        for target in set(TARGETS) - self.edited:
            copy = self.dev.get(*target)
            if copy is not None and is_ours(copy):
                assert self.is_of_ops(copy["data"])
                assert is_pair(copy["data"]["tls.crt"], copy["data"]["tls.key"])


def _is_bound(ask: Request) -> bool:
    """A merge patch of one object in one state."""
    about = (ask.body or {}).get("metadata", {})
    return ask.content_type == MERGE and bool(about.get("uid") and about.get("resourceVersion"))


class MemoryMachine(SyncMachine):
    make_fleet = staticmethod(memory_fleet)


def profile(steps: int, per_example: int = 25) -> settings:
    return settings(
        max_examples=max(1, steps // per_example),
        stateful_step_count=per_example,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        derandomize=STEPS is None,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_copies_stay_whole_ours_and_told() -> None:
    """In any order of events, what the laws of SyncMachine say holds."""
    run_state_machine_as_test(MemoryMachine, settings=profile(int(STEPS or 1000)))


@pytest.mark.parametrize(
    ("number", "fault"), [(0, Fault.LOST_ANSWER), (0, Fault.KILLED_AFTER), (1, Fault.LOST_REQUEST)]
)
def test_a_repair_that_breaks_off_in_the_middle_is_completed(number: int, fault: Fault) -> None:
    """Where a ca.crt added by hand is gone and the apply has yet to follow, this run or the next does it."""
    machine = MemoryMachine()
    machine.begin(ca=False)
    machine.by_hand(TARGETS[0], ("add", "ca.crt"))
    machine.run(("dev", number, "PATCH", fault))
    machine.sync()


@pytest.mark.parametrize("number", range(8))
def test_a_format_that_is_spoilt_in_the_middle_of_a_run_is_not_written(number: int) -> None:
    """Also where certificate and key stay the same: what is written is what was checked."""
    machine = MemoryMachine()
    machine.begin(ca=False)
    machine.send_keys(("key.der",), then=False)
    machine.format("web-a", {"key.der"}, spoilt=False)
    spoil = partial(machine.format, "web-a", {"key.der"}, spoilt=True)
    run = machine.run(("ops", number, "", spoil), verify=True)
    machine.check_truth(run)
    machine.sync()


def test_a_name_for_another_certificate_is_written_although_that_is_older() -> None:
    """As where web-b is gone, and the placeholders of a route give its name to web-a."""
    machine = MemoryMachine()
    machine.begin(ca=False)
    machine.delete_on_ops("web-b")
    machine.contest_a_name(contested=True, then=True)
    machine.give_metadata(GIVEN[1], then=True)
