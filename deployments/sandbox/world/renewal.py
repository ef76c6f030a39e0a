"""Renews a certificate on OPS as cert-manager does every two months."""

import base64
import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer, leaf_of
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name
from tasks.domain.names import is_name


def renew(ops: Admin, name: str) -> Manifest:
    """Write another key and a later certificate into the Secret, and update its Certificate."""
    secret = ops.secret(SOURCE_NAMESPACE, name) if is_name(name) else None
    if secret is None or secret["type"] != "kubernetes.io/tls":
        known = [
            s["metadata"]["name"] for s in ops.secrets(SOURCE_NAMESPACE) if s["type"] == "kubernetes.io/tls"
        ]
        raise SandboxError(f"OPS has no certificate {name}; it has {', '.join(known)}")
    renewed = Issuer().renew(secret)
    ops.replace(renewed)
    certificate_resource.put(ops, certificate_resource.certificate(renewed))
    return renewed


def renew_by_name(name: str) -> int:
    """Renew a certificate in the running sandbox, which KUBECONFIG names."""
    admin = _admin_of_kubeconfig()
    try:
        renewed = renew(admin, name)
    except AdminError as error:
        if error.status != http.client.FORBIDDEN:
            raise
        raise _no_sandbox() from error  # the runs' kubeconfig, which may read, not write
    until = leaf_of(renewed).not_valid_after_utc
    text = f"{name} is renewed on OPS, valid until {until:%Y-%m-%d}; the next run copies it where routes say"
    print(text)  # noqa: T201
    return 0


def _admin_of_kubeconfig() -> Admin:
    """Return a client by the sandbox's admin kubeconfig, in which all names are contexts' names."""
    name = context_name(SOURCE_CLUSTER)
    try:
        content = yaml.safe_load(Path(os.environ.get("KUBECONFIG", "")).read_text())
        (cluster,) = [entry["cluster"] for entry in content["clusters"] if entry["name"] == name]
        (user,) = [entry["user"] for entry in content["users"] if entry["name"] == name]
        address = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"])
        admin = Admin(str(address.hostname), int(address.port or 443), authority, user["token"])
        admin.get("/version")
    except (AdminError, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise _no_sandbox() from error
    return admin


def _no_sandbox() -> SandboxError:
    return SandboxError(
        f"no running sandbox at KUBECONFIG={os.environ.get('KUBECONFIG', '')!r}: start one with "
        "`python -m deployments.sandbox up`, and type here the exports that it prints"
    )
