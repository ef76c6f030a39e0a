"""Secrets of a target cluster as TargetSecrets, from a table or an object: their metadata alone. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from sys import intern
from typing import Any

from pydantic import TypeAdapter

from tasks.domain.annotations import ADOPT, FIELD_MANAGER, LABELS, LAST_APPLIED, MANAGED_BY, READ_ANNOTATIONS
from tasks.domain.models import CONFIG, ManagedKeys, SecretRef, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube.responses import MALFORMED, metadata_of, name_of

_CHECKED = TypeAdapter(tuple[TargetSecret], config=CONFIG)
"""Of one: for a dataclass alone, pydantic heeds no config, and its errors would show what was given."""

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
        return TargetSecret(ref=ref, uid="", resource_version="", type="", managed_by=Reason.UNREADABLE)


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
        "managed_by": find_foreign_manager(metadata),
        "has_last_applied": LAST_APPLIED in (metadata.get("annotations") or {}),
        "immutable": any("f:immutable" in (m.get("fieldsV1") or {}) for m in managers),
        "terminating": "deletionTimestamp" in metadata,
    }
    found = _CHECKED.validate_python((facts,))[0]
    return replace(found, labels=_shared(found.labels), annotations=_shared(found.annotations))


def find_foreign_manager(metadata: dict[str, Any]) -> Reason | None:
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
