"""The example: certificates on OPS, and a configuration that routes them to three clusters.

All that a route names literally is fit to be copied, so a first run completes. Globs also match Secrets that
are not fit, which the report shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world import certificate_resource, unfit
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer, KeyFormat, KeyKind
from deployments.sandbox.world.kubeconfig import (
    SOURCE_CLUSTER,
    context_name,
    write_admin_kubeconfig,
    write_kubeconfig,
)

# Each target's part of tls-sync.yaml.
CLUSTERS: Mapping[str, Mapping[str, Any]] = {
    "dev": {
        "hostnames": ["*.dev.example.org"],
        "routes": [
            {"certificates": ["homarr-dev-tls"], "namespaces": ["homarr-dev"]},
            {
                "certificates": ["headlamp-dev-*", "legacy-dev-*"],
                "namespaces": ["headlamp-dev"],
            },
            {
                "certificates": ["wildcard-dev-tls"],
                "namespaces": ["homarr-dev", "headlamp-dev"],
                "name": "wildcard-tls",
            },
        ],
    },
    "rct": {
        "hostnames": ["*.rct.example.org"],
        "routes": [
            {"certificates": ["homarr-rct-tls"], "namespaces": ["homarr-rct"]},
            {"certificates": ["headlamp-rct-*"], "namespaces": ["headlamp-rct"]},
        ],
    },
    "prd": {
        "protected": True,
        "hostnames": ["*.example.org"],
        "routes": [
            {"certificates": ["homarr-prd-tls"], "namespaces": ["homarr-prd"]},
            {"certificates": ["headlamp-prd-tls"], "namespaces": ["headlamp-prd"]},
        ],
    },
}


@dataclass(frozen=True)
class Wanted:
    """A certificate of OPS that is fit to be copied."""

    name: str
    dns_names: tuple[str, ...]
    key: KeyKind = "ec"
    key_format: KeyFormat = "traditional"


CERTIFICATES = (
    Wanted("homarr-dev-tls", ("homarr.dev.example.org",)),
    Wanted("headlamp-dev-tls", ("headlamp.dev.example.org",)),
    Wanted("wildcard-dev-tls", ("*.dev.example.org",)),
    Wanted("homarr-rct-tls", ("homarr.rct.example.org", "start.rct.example.org")),
    Wanted("headlamp-rct-tls", ("headlamp.rct.example.org",), key_format="pkcs8"),
    Wanted("homarr-prd-tls", ("homarr.example.org",)),
    Wanted("headlamp-prd-tls", ("headlamp.example.org",), key="rsa"),
)
TEMPORARY = Wanted("grafana-rct-tls", ("grafana.rct.example.org",))
"""A certificate that cert-manager signs itself until its issuer exists."""


@dataclass(frozen=True)
class World:
    sandbox: Sandbox
    directory: Path
    config: Path
    kubeconfig: Path
    admin_kubeconfig: Path


def build(sandbox: Sandbox, directory: Path, fill: Callable[[Admin], object] | None = None) -> World:
    """Create certificates on OPS, give tls-sync its rights, and write its files; targets stay empty.

    `fill` creates the certificates; by default they are made in the form that cert-manager writes.
    """
    world = World(
        sandbox,
        directory,
        config=directory / "tls-sync.yaml",
        kubeconfig=directory / "kubeconfig",
        admin_kubeconfig=directory / "admin.kubeconfig",
    )
    write_kubeconfig(sandbox, world.kubeconfig, TARGETS)
    write_admin_kubeconfig(sandbox, world.admin_kubeconfig)
    (fill or fill_source)(sandbox.cluster(SOURCE_CLUSTER).admin)
    content = configuration(sandbox, context_name(SOURCE_CLUSTER))
    world.config.write_text(yaml.safe_dump(content, sort_keys=False))
    return world


def _namespaces(cluster: str) -> list[str]:
    routes = CLUSTERS[cluster]["routes"]
    return list(dict.fromkeys(name for route in routes for name in route["namespaces"]))


TARGETS: Mapping[str, list[str]] = {name: _namespaces(name) for name in CLUSTERS}
"""The routed namespaces by target."""


def configuration(sandbox: Sandbox, source_context: str | None) -> dict[str, Any]:
    """Return a configuration; without a context for the source, the run is in OPS."""
    clusters = [
        {
            "name": name,
            "context": context_name(name),
            "clusterId": sandbox.cluster(name).admin.cluster_id(),
            **settings,
        }
        for name, settings in CLUSTERS.items()
    ]
    ops = sandbox.cluster(SOURCE_CLUSTER).admin.cluster_id()
    source = {"namespace": SOURCE_NAMESPACE, "context": source_context, "clusterId": ops}
    return {"owner": SOURCE_CLUSTER, "source": source, "clusters": clusters}


def fill_source(admin: Admin) -> None:
    issuer = Issuer()
    fit = [
        issuer.secret(one.name, one.dns_names, key=one.key, key_format=one.key_format) for one in CERTIFICATES
    ]
    temporary = unfit.temporary(issuer, TEMPORARY.name, TEMPORARY.dns_names)
    expired = unfit.expired(issuer, "legacy-dev-tls", ["legacy.dev.example.org"])
    others = [
        unfit.staged_key(issuer, "homarr-dev-tls"),
        unfit.opaque(issuer, "smtp-credentials"),
    ]
    for secret in (*fit, temporary, expired, *others):
        admin.create(secret)
    certificate_resource.install(admin)
    for secret in fit:
        certificate_resource.put(admin, certificate_resource.certificate(secret))
    for secret, reason in ((temporary, "DoesNotExist"), (expired, "Expired")):
        manifest = certificate_resource.certificate(secret, ready=False, reason=reason)
        certificate_resource.put(admin, manifest)
