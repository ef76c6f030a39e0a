"""What `tls-sync init` finds on the clusters of a kubeconfig. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FoundCluster:
    """What a context of the kubeconfig leads to."""

    context: str
    cluster_id: str = ""
    namespaces: frozenset[str] = frozenset()
    problem: str = ""
    """Why nothing is known of it; empty if the rest is set."""


@dataclass(frozen=True)
class FoundCertificate:
    """A Certificate of cert-manager on OPS."""

    secret: str
    dns_names: tuple[str, ...]
