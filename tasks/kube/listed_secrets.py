"""Parses the metadata of OPS's Secrets, from a Table, into ListedSecrets. Pure.

An annotation of someone else may contain a key (last-applied-configuration), so only cert-manager's names are
taken from them.
"""

from collections.abc import Iterator
from sys import intern
from typing import Any

from tasks.domain.models import ListedSecret, SecretRef
from tasks.kube.responses import metadata_of, name_of

ALT_NAMES = "cert-manager.io/alt-names"
MAX_NAMES = 100
"""Maximum number of DNS names taken from the annotation: as many as Let's Encrypt issues in a certificate."""


def parse_listed_secrets(table: dict[str, Any]) -> list[ListedSecret]:
    """Parse the rows of a Table of Secrets. Raises TypeError if it has no rows.

    A row without a valid name or a namespace is left out. What else is malformed in a row is left empty: such
    a Secret is read.
    """
    rows = table.get("rows") or []
    if not isinstance(rows, list):
        raise TypeError("not a table")
    return list(_parse_rows(rows))


def _parse_rows(rows: list[Any]) -> Iterator[ListedSecret]:
    for row in rows:
        found = row.get("object") if isinstance(row, dict) else None
        metadata = metadata_of(found)
        name, namespace = name_of(found), metadata.get("namespace")
        if name and isinstance(namespace, str):
            yield ListedSecret(
                ref=SecretRef(namespace=intern(namespace), name=name),
                uid=_text(metadata.get("uid")),
                resource_version=_text(metadata.get("resourceVersion")),
                written=written_of(metadata),
                dns_names=_dns_names(metadata.get("annotations")),
            )


def written_of(metadata: dict[str, Any]) -> str:
    """Return when an object was last written, as managedFields say (RFC 3339); empty if they do not say.

    creationTimestamp does not tell: an object without managedFields keeps it through each write.
    """
    managers = metadata.get("managedFields")
    entries = managers if isinstance(managers, list) else []
    times = (_text(one.get("time")) for one in entries if isinstance(one, dict))
    return max(times, default="")


def _dns_names(annotations: object) -> tuple[str, ...]:
    text = annotations.get(ALT_NAMES) if isinstance(annotations, dict) else None
    return tuple(text.split(",")[:MAX_NAMES]) if isinstance(text, str) and text else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
