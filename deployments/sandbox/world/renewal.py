"""What cert-manager does to a certificate on OPS every two months."""

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
    """Another key and a later certificate in the Secret, and the Certificate that says so."""
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
    """For another terminal: the running sandbox is the one that KUBECONFIG names."""
    admin = _admin_of_kubeconfig()
    try:
        renewed = renew(admin, name)
    except AdminError as error:
        if error.status != http.client.FORBIDDEN:
            raise
        raise _no_sandbox() from error  # the runs' own kubeconfig: it may read, but not renew
    until = leaf_of(renewed).not_valid_after_utc
    text = f"{name} is renewed on OPS, valid until {until:%Y-%m-%d}; the next run sends it where a route says"
    print(text)  # noqa: T201
    return 0


def _admin_of_kubeconfig() -> Admin:
    """The admin kubeconfig that the sandbox wrote: every name in it is a context's name."""
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
        f"no running sandbox found by KUBECONFIG={os.environ.get('KUBECONFIG', '')!r}: start one with "
        "`python -m deployments.sandbox up`, and type here the exports that it prints"
    )
