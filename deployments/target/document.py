"""A kubeconfig as a document. Credentials are in it, so it is never shown. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What one context leads to."""

    cluster: Document
    user: Document = field(repr=False)

    @property
    def is_renewed_elsewhere(self) -> bool:
        """A credential of another kind than a token: an exec plugin, a file, a client certificate."""
        return "token" not in self.user


def document_of(entries: Mapping[str, Entry]) -> Document:
    """Clusters and users are called as their context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": one.cluster} for name, one in entries.items()],
        "users": [{"name": name, "user": one.user} for name, one in entries.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in entries],
    }


def entries_of(document: Any) -> dict[str, Entry]:
    """What a kubeconfig holds by context; contexts that lead nowhere are left out."""
    clusters, users, contexts = (_by_name(document, kind) for kind in ("cluster", "user", "context"))
    found = {}
    for name, context in contexts.items():
        cluster, user = clusters.get(str(context.get("cluster"))), users.get(str(context.get("user")))
        if cluster is not None and user is not None:
            found[name] = Entry(cluster, user)
    return found


def _by_name(document: Any, kind: str) -> dict[str, Document]:
    listed = document.get(f"{kind}s") if isinstance(document, dict) else None
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return {str(one.get("name")): one[kind] for one in found if isinstance(one.get(kind), dict)}
