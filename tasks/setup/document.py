"""A kubeconfig as a document, which has credentials and is never shown. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """Cluster and user of one context."""

    cluster: Document
    user: Document = field(repr=False)

    @property
    def is_renewed_elsewhere(self) -> bool:
        """Whether it has no token, but an exec plugin, a token file or a client certificate."""
        return "token" not in self.user


def document_of(entries: Mapping[str, Entry]) -> Document:
    """Return a kubeconfig, in which clusters and users have the names of their contexts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": one.cluster} for name, one in entries.items()],
        "users": [{"name": name, "user": one.user} for name, one in entries.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in entries],
    }


def entries_of(document: Any) -> dict[str, Entry]:
    """Return the entries by context, without contexts that lack a cluster or a user."""
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
