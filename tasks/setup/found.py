"""What `tls-sync init` finds on the clusters of a kubeconfig. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FoundCluster:
    """What a context of the kubeconfig leads to."""

    context: str
    cluster_id: str = ""
    namespaces: frozenset[str] = frozenset()
    server: str = ""
    """Its address, as the kubeconfig has it."""
    problem: str = ""
    """Why nothing is known of it; empty if the rest is set."""


@dataclass(frozen=True)
class ArgoCluster:
    """A cluster that Argo CD knows."""

    name: str
    server: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class FoundCertificate:
    """A Certificate of cert-manager on OPS."""

    secret: str
    dns_names: tuple[str, ...]
