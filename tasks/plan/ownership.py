"""What makes a Secret on a target ours, and what its listed metadata says. Pure.

Server-side apply records in managedFields who wrote which key. As long as our Apply entry owns every key that
we sent, nobody has changed a value since: that shows every edit without reading a private key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any

from pydantic import TypeAdapter

from tasks.domain.models import CONFIG, Absence, Certificate, ManagedKeys, Owner, SecretRef, TargetSecret
from tasks.domain.names import UID
from tasks.domain.reasons import Reason
from tasks.kube.responses import MALFORMED, metadata_of, name_of

FIELD_MANAGER = "tls-sync"
SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105  a type, not a secret
TRAVELLING = frozenset({"tls.crt", "tls.key", "ca.crt"})

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "tls-sync.io/owner"
SOURCE = "tls-sync.io/source"
FINGERPRINT = "tls-sync.io/fingerprint"
NOT_BEFORE = "tls-sync.io/not-before"
NOT_AFTER = "tls-sync.io/not-after"
SERIAL = "tls-sync.io/serial"
SOURCE_CLUSTER = "tls-sync.io/source-cluster"
"""The uid of OPS's kube-system. Copies that earlier versions wrote are without it until they are due."""

ADOPT = "tls-sync.io/adopt"
"""Set on the target by whoever has authority there: names the owner that may take the Secret over."""
LOSE_KEYS = "lose-other-keys"
"""`<owner>,lose-other-keys`: though the Secret has keys that tls-sync does not send."""
PRUNE = "tls-sync.io/prune"
"""`"false"`, set on the target: this copy is never deleted."""
ORPHANED_SINCE = "tls-sync.io/orphaned-since"
ORPHANED_SEEN = "tls-sync.io/orphaned-seen"
ORPHANED_RUNS = "tls-sync.io/orphaned-runs"
MOST_DIGITS = 6
"""Of a number of runs: hourly ones for a century."""
PRUNE_MANAGER = "tls-sync-prune"
"""The field manager of these marks: who writes the certificate does not own them."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

LABELS = frozenset({MANAGED_BY, OWNER})
ANNOTATIONS = frozenset({SOURCE, FINGERPRINT, NOT_BEFORE, NOT_AFTER, SERIAL})
METADATA = LABELS | ANNOTATIONS
STAMPED = METADATA | {SOURCE_CLUSTER}
MARKS = frozenset({ORPHANED_SINCE, ORPHANED_SEEN, ORPHANED_RUNS})
READ_ANNOTATIONS = STAMPED | MARKS | {ADOPT, PRUNE}

_CHECKED = TypeAdapter(tuple[TargetSecret], config=CONFIG)
"""Of one: for a dataclass alone, pydantic heeds no config, and its errors would show what was given."""


def labels(owner: str) -> dict[str, str]:
    return {MANAGED_BY: FIELD_MANAGER, OWNER: owner}


def annotations(certificate: Certificate) -> dict[str, str]:
    version = certificate.version
    return {
        SOURCE: str(certificate.ref),
        FINGERPRINT: version.fingerprint,
        NOT_BEFORE: version.not_before.isoformat(),
        NOT_AFTER: version.not_after.isoformat(),
        SERIAL: certificate.serial,
    }


def stamp(owner: Owner) -> dict[str, str]:
    """What a copy says of the OPS cluster that it came from."""
    return {SOURCE_CLUSTER: owner.cluster_id}


def is_ours(secret: TargetSecret, owner: Owner) -> bool:
    """Our labels, our source annotation, an entry of ours: all of them, or it is someone else's.

    And no other OPS cluster wrote it.
    """
    return (
        all(secret.labels.get(key) == value for key, value in labels(owner.name).items())
        and bool(secret.annotations.get(SOURCE))
        and secret.managed.ours is not None
        and not is_from_elsewhere(secret, owner)
    )


def is_anothers(secret: TargetSecret, owner: Owner) -> bool:
    """A copy that a tls-sync of another owner made."""
    label = secret.labels.get(OWNER)
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and label not in (None, owner.name)


def is_from_elsewhere(secret: TargetSecret, owner: Owner) -> bool:
    """A copy that another OPS cluster wrote, as far as it says so: earlier versions noted nothing.

    Where it is not known which OPS this is, nothing is from elsewhere; then nothing is written either.
    """
    noted, here = secret.annotations.get(SOURCE_CLUSTER), owner.cluster_id
    is_known = not here or noted in (None, here) or noted in owner.former
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and not is_known


def source_cluster(secret: TargetSecret) -> str:
    """Which OPS cluster it says it came from, for a person."""
    noted = secret.annotations.get(SOURCE_CLUSTER, "")
    return f"OPS cluster {noted}" if UID.fullmatch(noted) else f"{SOURCE_CLUSTER} is no uid"


def may_adopt(secret: TargetSecret, owner: Owner) -> bool:
    """The target asks us to take it over, and nobody else looks after it."""
    asked = secret.annotations.get(ADOPT) in (owner.name, _letting_go(owner))
    anothers = is_anothers(secret, owner) or is_from_elsewhere(secret, owner)
    return asked and secret.held_by is None and not anothers


def _letting_go(owner: Owner) -> str:
    return f"{owner.name},{LOSE_KEYS}"


def keys_to_lose(secret: TargetSecret, owner: Owner) -> frozenset[str]:
    """The keys that an adoption would take off though nobody said that they may go; of one that was read."""
    further = secret.keys - TRAVELLING
    if not further or is_ours(secret, owner) or secret.annotations.get(ADOPT) == _letting_go(owner):
        return frozenset()
    return further


def is_drifted(secret: TargetSecret, source: Certificate) -> bool:
    """Someone has written to our copy: a key is no longer ours alone, or our own metadata was touched.

    A value of ours that another manager co-owns is unchanged: a change would have taken it from our entry.
    """
    ours = secret.managed.ours or frozenset()
    same = secret.annotations.get(FINGERPRINT) == source.version.fingerprint
    expected = frozenset(source.keys) if same else frozenset({"tls.crt", "tls.key"})
    return (
        not expected <= ours
        or not ours <= TRAVELLING
        or (same and ours != expected)  # an earlier version claimed a key to drop it, and never did
        or not secret.managed.others <= ours
        or secret.managed.ours_metadata != _metadata_of(secret)
    )


def is_untouched(secret: TargetSecret) -> bool:
    """Our copy, whose data and metadata of ours nobody else has written to."""
    managed = secret.managed
    ours = managed.ours or frozenset()
    return managed.ours_metadata == _metadata_of(secret) and managed.others <= ours <= TRAVELLING


def _metadata_of(secret: TargetSecret) -> frozenset[str]:
    """What our entry has to own: on a copy that an earlier version wrote, there is no stamp."""
    return STAMPED if SOURCE_CLUSTER in secret.annotations else METADATA


def marks(absence: Absence) -> dict[str, str]:
    """The annotations that note it."""
    if not (absence.since and absence.seen):
        return {}
    return {
        ORPHANED_SINCE: absence.since.isoformat(timespec="seconds"),
        ORPHANED_SEEN: absence.seen.isoformat(timespec="seconds"),
        ORPHANED_RUNS: str(absence.runs),
    }


def absence_of(secret: TargetSecret, owner: Owner) -> Absence:
    """What is noted on a copy of ours. Notes that someone spoilt count as none."""
    notes = secret.annotations
    kept = f'its annotation {PRUNE} is not "true"' if notes.get(PRUNE, "true") != "true" else ""
    kept = kept or ("" if is_untouched(secret) else "it was edited on the target")
    kept = kept or _unproven(secret, owner)
    kept = "it is being deleted already" if secret.terminating else kept
    source = notes.get(SOURCE, "")
    try:
        since, seen = moment(notes[ORPHANED_SINCE]), moment(notes[ORPHANED_SEEN])
        runs = count(notes[ORPHANED_RUNS])
        return Absence(since=since, seen=seen, runs=runs, source=source, kept=kept)
    except (KeyError, ValueError):
        return Absence(source=source, kept=kept)


def _unproven(secret: TargetSecret, owner: Owner) -> str:
    """Why OPS can't tell that what fed the copy is gone; empty where it can."""
    noted = secret.annotations.get(SOURCE_CLUSTER)
    if noted is None:
        return "an earlier version wrote it, and did not note from which OPS cluster"
    return "" if noted == owner.cluster_id else "it came from a former OPS cluster"


def moment(text: str) -> datetime:
    """A point in time as we note it, with its zone; ValueError for what someone made of it."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found


def count(text: str) -> int:
    """A number of runs as we note it; ValueError for what someone made of it."""
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise ValueError("not a number of runs")
    return int(text)


def parse_target_secrets(table: dict[str, Any]) -> list[TargetSecret]:
    """The rows of a Table of Secrets with their metadata. A malformed Table raises what Python raises.

    A malformed row costs itself: it is there, and can't be read. One without a name is none.
    """
    titles = [column["name"] for column in table["columnDefinitions"]]
    type_column = titles.index("Type")
    rows = (_parse_row(row, type_column) for row in table.get("rows") or [])
    return [row for row in rows if row]


def _parse_row(row: Any, type_column: int) -> TargetSecret | None:
    try:
        return parse_target_secret(row["object"]["metadata"], row["cells"][type_column])
    except MALFORMED:
        found = row.get("object") if isinstance(row, dict) else None
        name, namespace = name_of(found), metadata_of(found).get("namespace")
        if not name or not isinstance(namespace, str):
            return None
        ref = SecretRef(namespace=namespace, name=name)
        return TargetSecret(ref=ref, uid="", resource_version="", type="", held_by=Reason.UNREADABLE)


def parse_target_secret(metadata: dict[str, Any], secret_type: str) -> TargetSecret:
    """Take from a listed object what decides, and drop the rest: a foreign annotation can hold a key."""
    managers = metadata.get("managedFields") or []
    facts = {
        "ref": {"namespace": intern(metadata["namespace"]), "name": intern(metadata["name"])},
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "type": secret_type,
        "labels": _pick(metadata.get("labels"), LABELS),
        "annotations": _pick(metadata.get("annotations"), READ_ANNOTATIONS),
        "managed": _managed_keys(managers),
        "held_by": find_holder(metadata),
        "keeps_last_applied": LAST_APPLIED in (metadata.get("annotations") or {}),
        "immutable": any("f:immutable" in (m.get("fieldsV1") or {}) for m in managers),
        "terminating": "deletionTimestamp" in metadata,
    }
    found = _CHECKED.validate_python((facts,))[0]
    return replace(found, labels=_shared(found.labels), annotations=_shared(found.annotations))


def find_holder(metadata: dict[str, Any]) -> Reason | None:
    """Which of the tools that people run on clusters looks after a Secret; None where none shows.

    By who wrote the data, since such a writer would undo us after every run; and by the marks that each tool
    leaves. A mark does not count on a copy of ours, nor where we are asked to adopt: a kubectl loop copies
    the marks of the source along.
    """
    writers = {
        str(entry.get("manager"))
        for entry in metadata.get("managedFields") or []
        if "f:data" in (entry.get("fieldsV1") or {})
    }
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    foreign = labels.get(MANAGED_BY) != FIELD_MANAGER and ADOPT not in annotations
    for reason, writer, is_marked in _HOLDERS:
        if any(writer.match(one) for one in writers) or (foreign and is_marked(labels, annotations)):
            return reason
    if any(isinstance(one, dict) and one.get("controller") for one in metadata.get("ownerReferences") or []):
        return Reason.OWNED_BY_CONTROLLER
    return None


Texts = Mapping[str, str]

# Sources of the marks: cert-manager.io/docs/usage/certificate; Helm's standard labels; Argo CD, resource
# tracking; Flux, kustomize-controller and helm-controller.
_HOLDERS: tuple[tuple[Reason, re.Pattern[str], Callable[[Texts, Texts], bool]], ...] = (
    (
        Reason.OWNED_BY_CERT_MANAGER,
        re.compile("cert-manager"),
        lambda _, annotations: "cert-manager.io/certificate-name" in annotations,
    ),
    (
        Reason.OWNED_BY_FLUX,
        re.compile(r"(kustomize|helm)-controller$"),
        lambda labels, _: any(key.partition("/")[0].endswith(".toolkit.fluxcd.io") for key in labels),
    ),
    (
        Reason.OWNED_BY_ARGO_CD,
        re.compile("argocd-"),
        lambda labels, annotations: (
            "argocd.argoproj.io/tracking-id" in annotations or "argocd.argoproj.io/instance" in labels
        ),
    ),
    (
        Reason.OWNED_BY_HELM,
        re.compile("helm$"),
        lambda labels, annotations: (
            labels.get(MANAGED_BY) == "Helm" or "meta.helm.sh/release-name" in annotations
        ),
    ),
)


def _pick(mapping: dict[str, str] | None, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (mapping or {}).items() if key in keys}


def _managed_keys(managers: list[dict[str, Any]]) -> ManagedKeys:
    ours: frozenset[str] | None = None
    ours_metadata: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    written = ""
    for entry in managers:
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            metadata = fields.get("f:metadata") or {}
            ours = _keys(fields.get("f:data"))
            ours_metadata = _one(_keys(metadata.get("f:labels")) | _keys(metadata.get("f:annotations")))
            written = str(entry.get("time") or "")
        else:
            others = _one(others | _keys(fields.get("f:data")))
            if ours is None and entry.get("manager") == FIELD_MANAGER:  # a patch whose apply is to follow
                ours = frozenset()
    return ManagedKeys(ours=ours, ours_metadata=ours_metadata, others=others, written=written)


def _keys(fields: dict[str, Any] | None) -> frozenset[str]:
    return _one(frozenset(key.removeprefix("f:") for key in fields or {} if key.startswith("f:")))


@lru_cache(maxsize=1000)
def _one(keys: frozenset[str]) -> frozenset[str]:
    """Equal ones as one object: most copies have the same."""
    return keys


def _shared(texts: dict[str, str]) -> dict[str, str]:
    """Equal ones as one object: the copies of a certificate have the same on all clusters."""
    return _of_items(tuple(texts.items()))


@lru_cache(maxsize=2000)
def _of_items(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(items)
