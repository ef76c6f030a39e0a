"""Issuers and Certificates for cert-manager's controllers, and what people do with them."""

import base64
import http.client
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from deployments.sandbox.cert_manager.acme import Acme
from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.manifests import Manifest, object_path
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE

ACME_ISSUER = "letsencrypt-prod"

_OF_CERT_MANAGER = ("certificates", "certificaterequests", "issuers")
_OF_ACME = ("orders", "challenges")
PATHS = (
    *(f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/{plural}" for plural in _OF_CERT_MANAGER),
    *(f"/apis/acme.cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/{plural}" for plural in _OF_ACME),
    "/apis/cert-manager.io/v1/clusterissuers",
)
"""Where cert-manager's resources are; owners come before what they own."""

_GROUP = "cert-manager.io/v1"
_RENEW_ATTEMPTS = 20


def acme_issuer(
    acme: Acme,
    authority: pki.Authority,
    *,
    kind: str = "ClusterIssuer",
    name: str = ACME_ISSUER,
    profile: str = "default",
) -> Manifest:
    """Return an issuer that orders from the ACME server; `authority` signs that server's own certificate."""
    account: Manifest = {
        "server": acme.directory_url,
        "caBundle": base64.b64encode(authority.pem).decode(),
        "privateKeySecretRef": {"name": f"{name}-account"},
        "solvers": [{"dns01": {"rfc2136": {"nameserver": acme.nameserver}}}],
        "profile": profile,  # else pebble chooses one at random
    }
    return issuer(name, kind, acme=account)


def issuer(name: str, kind: str = "ClusterIssuer", **spec: Any) -> Manifest:
    """Return an issuer of this spec, such as ca={"secretName": "root"} or selfSigned={}."""
    metadata = {"name": name}
    if kind == "Issuer":
        metadata["namespace"] = SOURCE_NAMESPACE
    return {"apiVersion": _GROUP, "kind": kind, "metadata": metadata, "spec": spec}


def certificate(
    name: str,
    *dns_names: str,
    issuer: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    """Return a Certificate whose Secret has its name; by default the ACME ClusterIssuer issues it."""
    metadata: Manifest = {"name": name, "namespace": SOURCE_NAMESPACE}
    if annotations:
        metadata["annotations"] = dict(annotations)
    reference = issuer or {"kind": "ClusterIssuer", "name": ACME_ISSUER}
    spec = {"secretName": name, "dnsNames": list(dns_names), "issuerRef": dict(reference)} | spec
    return {"apiVersion": _GROUP, "kind": "Certificate", "metadata": metadata, "spec": spec}


def path_of(name: str) -> str:
    return object_path(certificate(name))


def condition(resource: Manifest, kind: str) -> Manifest:
    """Return a condition of a Certificate or an issuer, empty if it has none of this type."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def is_ready(certificate: Manifest) -> bool:
    """Whether it is issued for its current spec, and nothing is being issued."""
    ready = condition(certificate, "Ready")
    return (
        ready.get("status") == "True"
        and ready.get("observedGeneration") == certificate["metadata"]["generation"]
        and condition(certificate, "Issuing").get("status") != "True"
    )


def delete_orphans(admin: Admin) -> None:
    """Delete what belonged to an object that is gone, as Kubernetes' garbage collector does.

    cert-manager counts on it: it issues nothing while an Order of a former request of the same name is there.
    """
    # An owner is older than what it owns, so it is listed later: nothing made meanwhile looks like an orphan.
    listed = {path: admin.list(path) for path in reversed(PATHS)}
    uids = {one["metadata"]["uid"] for objects in listed.values() for one in objects}
    for path, objects in listed.items():
        for one in objects:
            owners = {owner["uid"] for owner in one["metadata"].get("ownerReferences", [])}
            if owners and not owners & uids:
                with suppress(AdminError):  # gone meanwhile
                    admin.delete(f"{path}/{one['metadata']['name']}")


def renew(admin: Admin, name: str) -> None:
    """Ask cert-manager to renew now, by the condition that `cmctl renew` sets."""
    path = path_of(name)
    asked = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
    }
    for _ in range(_RENEW_ATTEMPTS):
        found = admin.get(path)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        others = [one for one in found.get("status", {}).get("conditions", []) if one["type"] != "Issuing"]
        generation = found["metadata"]["generation"]
        mine = asked | {"lastTransitionTime": now, "observedGeneration": generation}
        found["status"] = found.get("status", {}) | {"conditions": [*others, mine]}
        try:
            admin.put(f"{path}/status", found)
        except AdminError as error:
            if error.status != http.client.CONFLICT:
                raise
            time.sleep(0.05)  # cert-manager has written the status meanwhile
        else:
            return
    raise AdminError(http.client.CONFLICT, "Conflict", f"Certificate {name} changes all the time")
