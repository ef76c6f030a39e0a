"""Parses the metadata of a target's Secrets, from a Table or an object, into TargetSecrets. Pure."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from pydantic import TypeAdapter

from tasks.domain.annotations import (
    ADOPT,
    FIELD_MANAGER,
    LABELS,
    LAST_APPLIED,
    MANAGED_BY,
    OWN_METADATA,
    READ_ANNOTATIONS,
)
from tasks.domain.models import CONFIG, ManagedKeys, MetadataKeys, SecretRef, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube.responses import MALFORMED, metadata_of, name_of

_CHECKED = TypeAdapter(tuple[TargetSecret], config=CONFIG)
"""A tuple of one: pydantic ignores the config for a lone dataclass, and its errors would quote the input."""

Strings = Mapping[str, str]
NO_KEYS = MetadataKeys()

# Sources of the marks: cert-manager.io/docs/usage/certificate; Helm's standard labels; Argo CD, resource
# tracking; Flux, kustomize-controller and helm-controller.
_FOREIGN_MANAGERS: tuple[tuple[Reason, re.Pattern[str], Callable[[Strings, Strings], bool]], ...] = (
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


def parse_target_secrets(table: dict[str, Any], given: MetadataKeys = NO_KEYS) -> list[TargetSecret]:
    """Parse the rows of a Table of Secrets. Raises one of MALFORMED if the Table is malformed.

    `given` are the keys that routes give. A malformed row becomes a Secret that is UNREADABLE. A row without
    a name or a namespace is left out.
    """
    titles = [column["name"] for column in table["columnDefinitions"]]
    type_column = titles.index("Type")
    rows = (_parse_row(row, type_column, given) for row in table.get("rows") or [])
    return [row for row in rows if row]


def _parse_row(row: Any, type_column: int, given: MetadataKeys) -> TargetSecret | None:
    try:
        return parse_target_secret(row["object"]["metadata"], row["cells"][type_column], given)
    except MALFORMED:
        found = row.get("object") if isinstance(row, dict) else None
        name, namespace = name_of(found), metadata_of(found).get("namespace")
        if not name or not isinstance(namespace, str):
            return None
        ref = SecretRef(namespace=namespace, name=name)
        return TargetSecret(ref=ref, uid="", resource_version="", type="", managed_by=Reason.UNREADABLE)


def parse_target_secret(
    metadata: dict[str, Any], secret_type: str, given: MetadataKeys = NO_KEYS
) -> TargetSecret:
    """Return only the metadata that decisions need: an annotation of someone else may contain a key."""
    managers = metadata.get("managedFields") or []
    facts = {
        "ref": {"namespace": intern(metadata["namespace"]), "name": intern(metadata["name"])},
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "type": secret_type,
        "labels": _pick(metadata.get("labels"), LABELS | given.labels),
        "annotations": _pick(metadata.get("annotations"), READ_ANNOTATIONS | given.annotations),
        "managed": _managed_keys(managers),
        "managed_by": find_foreign_manager(metadata),
        "has_last_applied": LAST_APPLIED in (metadata.get("annotations") or {}),
        "immutable": any("f:immutable" in (m.get("fieldsV1") or {}) for m in managers),
        "terminating": "deletionTimestamp" in metadata,
    }
    return _CHECKED.validate_python((facts,))[0]


def find_foreign_manager(metadata: dict[str, Any]) -> Reason | None:
    """Return which other tool or controller manages a Secret, or None.

    A tool that wrote the data would overwrite us after every run. The marks of a tool (labels, annotations)
    count as well, but not on our copies, nor if we are asked to adopt: a script that copies Secrets with
    kubectl copies the marks of the source, too.
    """
    writers = {
        str(entry.get("manager"))
        for entry in metadata.get("managedFields") or []
        if "f:data" in (entry.get("fieldsV1") or {})
    }
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    foreign = labels.get(MANAGED_BY) != FIELD_MANAGER and ADOPT not in annotations
    written_by = {found for one in writers for found in _tools(one)}
    if written_by or foreign:
        for reason, _, is_marked in _FOREIGN_MANAGERS:
            if reason in written_by or (foreign and is_marked(labels, annotations)):
                return reason
    if any(isinstance(one, dict) and one.get("controller") for one in metadata.get("ownerReferences") or []):
        return Reason.OWNED_BY_CONTROLLER
    return None


@lru_cache(maxsize=1000)
def _tools(manager: str) -> tuple[Reason, ...]:
    """Which tools have a field manager of this name."""
    return tuple(reason for reason, writer, _ in _FOREIGN_MANAGERS if writer.match(manager))


def _pick(mapping: dict[str, str] | None, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (mapping or {}).items() if key in keys}


def _managed_keys(managers: list[dict[str, Any]]) -> ManagedKeys:
    ours: frozenset[str] | None = None
    ours_metadata: frozenset[str] = frozenset()
    ours_given: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    written = ""
    for entry in managers:
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            metadata = fields.get("f:metadata") or {}
            ours = _keys(fields.get("f:data"))
            labels, annotations = _keys(metadata.get("f:labels")), _keys(metadata.get("f:annotations"))
            ours_metadata, ours_given = _sorted_out(labels, annotations)
            written = str(entry.get("time") or "")
        else:
            others = _interned_keys(others | _keys(fields.get("f:data")))
            if ours is None and entry.get("manager") == FIELD_MANAGER:  # a patch that an apply follows
                ours = frozenset()
    return ManagedKeys(
        ours=ours, ours_metadata=ours_metadata, ours_given=ours_given, others=others, written=written
    )


@lru_cache(maxsize=1000)
def _sorted_out(labels: frozenset[str], annotations: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of tls-sync's own, and the others with their part of the metadata."""
    given = {f"labels/{key}" for key in labels - OWN_METADATA}
    given |= {f"annotations/{key}" for key in annotations - OWN_METADATA}
    return (labels | annotations) & OWN_METADATA, frozenset(given)


def _keys(fields: dict[str, Any] | None) -> frozenset[str]:
    # A list, since a generator takes twice the time, and this goes through each field of each copy.
    return _interned_keys(frozenset([key[2:] for key in fields or () if key[:2] == "f:"]))


@lru_cache(maxsize=1000)
def _interned_keys(keys: frozenset[str]) -> frozenset[str]:
    """Return one object for equal sets: most copies have the same."""
    return keys
