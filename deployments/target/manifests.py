"""The manifests of a target: who tls-sync is there, and what it may do in the routed namespaces."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tasks.config import Cluster
from tasks.report import plain

Manifest = dict[str, Any]

_HERE = Path(__file__).parent
_ONCE = ("rbac.yaml", "admission-policy.yaml")
_PER_NAMESPACE = "namespace-role.yaml"


def manifests(cluster: Cluster) -> Iterator[Manifest]:
    """All that the account of a cluster needs; the routed namespaces themselves are the applications'."""
    for name in _ONCE:
        yield from _documents(name)
    for namespace in cluster.namespaces_of(None):
        for document in _documents(_PER_NAMESPACE):
            metadata = {**document["metadata"], "namespace": namespace}
            yield {**document, "metadata": metadata}


def render(clusters: Iterable[Cluster]) -> str:
    """As YAML, each cluster under a comment that says where it belongs."""
    return "\n".join(map(_render, clusters))


def _render(cluster: Cluster) -> str:
    name, context = plain(cluster.name), plain(cluster.context)
    body = yaml.safe_dump_all(manifests(cluster), explicit_start=True, sort_keys=False, width=110)
    return (
        f"# Cluster {name}, context {context}. To apply these and nothing else:\n"
        f"#   python -m deployments.target manifests --cluster {name} \\\n"
        f"#     | kubectl --context {context} apply --server-side -f -\n{body}"
    )


def _documents(name: str) -> Iterator[Manifest]:
    yield from yaml.safe_load_all((_HERE / name).read_text("utf-8"))
