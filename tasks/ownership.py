"""What makes a Secret on a target ours, and what its listed metadata says. Pure.

Server-side apply records in managedFields who wrote which key. As long as our Apply entry owns every key that
we sent, nobody has changed a value since: that shows every edit without reading a private key.
"""

from typing import Any

from tasks.models import Certificate, ManagedKeys, SecretRef, TargetSecret

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

LABELS = frozenset({MANAGED_BY, OWNER})
ANNOTATIONS = frozenset({SOURCE, FINGERPRINT, NOT_BEFORE, NOT_AFTER, SERIAL})


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


def is_ours(secret: TargetSecret, owner: str) -> bool:
    """Our labels, our source annotation, and an Apply entry of ours: all of them, or it is someone else's."""
    return (
        all(secret.labels.get(key) == value for key, value in labels(owner).items())
        and bool(secret.annotations.get(SOURCE))
        and secret.managed.ours is not None
    )


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
        or not secret.managed.others <= ours
        or secret.managed.ours_metadata != LABELS | ANNOTATIONS
    )


def parse_target_secrets(table: dict[str, Any]) -> list[TargetSecret]:
    """The rows of a Table of Secrets with their metadata. Malformed ones raise what Python raises."""
    titles = [column["name"] for column in table["columnDefinitions"]]
    type_column = titles.index("Type")
    return [
        parse_target_secret(row["object"]["metadata"], row["cells"][type_column])
        for row in table.get("rows") or []
    ]


def parse_target_secret(metadata: dict[str, Any], secret_type: str) -> TargetSecret:
    """Take from a listed object what decides, and drop the rest: a foreign annotation can hold a key."""
    managers = metadata.get("managedFields") or []
    return TargetSecret(
        ref=SecretRef(namespace=metadata["namespace"], name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        type=secret_type,
        labels=_pick(metadata.get("labels"), LABELS),
        annotations=_pick(metadata.get("annotations"), ANNOTATIONS),
        managed=_managed_keys(managers),
        immutable=any("f:immutable" in (m.get("fieldsV1") or {}) for m in managers),
        terminating="deletionTimestamp" in metadata,
    )


def _pick(mapping: dict[str, str] | None, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (mapping or {}).items() if key in keys}


def _managed_keys(managers: list[dict[str, Any]]) -> ManagedKeys:
    ours: frozenset[str] | None = None
    ours_metadata: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    for entry in managers:
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            metadata = fields.get("f:metadata") or {}
            ours = _keys(fields.get("f:data"))
            ours_metadata = _keys(metadata.get("f:labels")) | _keys(metadata.get("f:annotations"))
        else:
            others |= _keys(fields.get("f:data"))
    return ManagedKeys(ours=ours, ours_metadata=ours_metadata, others=others)


def _keys(fields: dict[str, Any] | None) -> frozenset[str]:
    return frozenset(key.removeprefix("f:") for key in fields or {} if key.startswith("f:"))
