"""`python -m deployments.sandbox renew NAME`: renew a certificate on OPS of the sandbox that is up."""

import base64
import http.client
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Waiting, say
from deployments.sandbox.world import renewal
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name

_SECONDS = 120


def run(name: str) -> int:
    """Ask cert-manager, as `cmctl renew` does, and wait; where OPS has none, write what it would."""
    admin = _admin_of_kubeconfig()
    try:
        renewed = _renew(admin, name)
    except AdminError as error:
        if error.status != http.client.FORBIDDEN:
            raise
        raise _no_sandbox() from error  # the runs' kubeconfig, which may read, not write
    until = renewed["status"]["notAfter"][:10]
    print(f"{name} is renewed on OPS, valid until {until}; the next run copies it where routes say")  # noqa: T201
    return 0


def _renew(admin: Admin, name: str) -> Manifest:
    before = _certificate(admin, name)
    if admin.found("/apis/acme.cert-manager.io/v1") is None:
        renewal.renew(admin, name)
        return admin.get(resources.path_of(name))
    resources.renew(admin, name)
    return _await_renewal(admin, name, before)


def _certificate(admin: Admin, name: str) -> Manifest:
    path = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates"
    known = {one["metadata"]["name"]: one for one in admin.list(path)}
    if name not in known:
        raise SandboxError(f"OPS has no Certificate {name}; it has {', '.join(known)}")
    return known[name]


def _await_renewal(admin: Admin, name: str, before: Manifest) -> Manifest:
    waiting = Waiting(f"waiting for cert-manager to renew {name}", say)
    while waiting.seconds < _SECONDS:
        found = admin.get(resources.path_of(name))
        revisions = [one.get("status", {}).get("revision") for one in (before, found)]
        if resources.is_ready(found) and revisions[0] != revisions[1]:
            return found
        resources.delete_orphans(admin)
        waiting.tick()
        time.sleep(0.2)
    issuing = resources.condition(found, "Issuing")
    raise SandboxError(
        f"cert-manager has not renewed {name} in {_SECONDS} s. Its Certificate says: "
        f"{issuing.get('reason', 'nothing')} {issuing.get('message', '')}"
    )


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
