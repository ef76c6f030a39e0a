"""The body of a server-side apply of a TLS Secret. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from tasks.domain.annotations import SECRET_TYPE
from tasks.domain.models import SecretRef

NO_RESOURCE_VERSION = "1"
"""A resourceVersion that no object has: etcd's first revision. An apply that names it can only create."""


def tls_secret_manifest(
    ref: SecretRef,
    data: Mapping[str, bytes],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    existing: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return a Secret with this metadata and data, and nothing else.

    `existing` is the uid and resourceVersion of the object to update. Without it, the apply can only create.
    """
    uid, version = existing or ("", NO_RESOURCE_VERSION)
    metadata: dict[str, Any] = {"name": ref.name, "namespace": ref.namespace, "labels": dict(labels)}
    metadata |= {"annotations": dict(annotations), "resourceVersion": version} | ({"uid": uid} if uid else {})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": metadata,
        "data": {key: b64encode(value).decode("ascii") for key, value in data.items()},
    }
