"""cert-manager's Certificate resource, with the fields that say whether a Secret is ready."""

import time
from datetime import datetime

from deployments.sandbox.clusters import manifests
from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world.cert_manager import LIFE, dns_names_of, leaf_of

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

_READY = '.status.conditions[?(@.type=="Ready")].status'

CERTIFICATE_CRD: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "certificates.cert-manager.io"},
    "spec": {
        "group": "cert-manager.io",
        "scope": "Namespaced",
        "names": {
            "kind": "Certificate",
            "listKind": "CertificateList",
            "plural": "certificates",
            "singular": "certificate",
            "shortNames": ["cert", "certs"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": _READY},
                    {"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": _ANYTHING, "status": _ANYTHING},
                    }
                },
            }
        ],
    },
}


def install(admin: Admin) -> None:
    """Create the CustomResourceDefinition and wait until the API serves it, some moments later."""
    admin.create(CERTIFICATE_CRD)
    await_served(admin, CERTIFICATE_CRD)


def await_served(admin: Admin, definition: Manifest) -> None:
    """Wait until the API serves what a CustomResourceDefinition defines."""
    spec = definition["spec"]
    version = next(one["name"] for one in spec["versions"] if one["storage"])
    path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
    for _ in range(300):
        try:
            admin.list(path)
        except AdminError:
            time.sleep(0.1)
        else:
            return
    raise SandboxError(f"the API server doesn't serve {path} after 30 s")


def remove(admin: Admin) -> None:
    """Delete the CustomResourceDefinition and wait until it is gone, some moments later."""
    path = manifests.object_path(CERTIFICATE_CRD)
    admin.delete(path)
    for _ in range(300):
        if admin.found(path) is None:
            return
        time.sleep(0.1)
    raise SandboxError("the API server still has cert-manager.io/v1 after 30 s")


def certificate(
    secret: Manifest,
    *,
    ready: bool = True,
    reason: str = "Ready",
    message: str = "Certificate is up to date and has not expired",
) -> Manifest:
    """Return the Certificate of a Secret."""
    metadata, leaf = secret["metadata"], leaf_of(secret)
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": _time(leaf.not_valid_before_utc),
        "observedGeneration": 1,
    }
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "spec": {
            "secretName": metadata["name"],
            "dnsNames": dns_names_of(leaf),
            "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt-prod"},
        },
        "status": {
            "conditions": [condition],
            "notBefore": _time(leaf.not_valid_before_utc),
            "notAfter": _time(leaf.not_valid_after_utc),
            "renewalTime": _time(leaf.not_valid_after_utc - LIFE / 3),
            "revision": 1,
        },
    }


def put(admin: Admin, manifest: Manifest) -> None:
    """Create or update a Certificate, then its status, which is a subresource."""
    path = manifests.object_path(manifest)
    body = {key: value for key, value in manifest.items() if key != "status"}
    admin.apply(path, body, "cert-manager", force=True)
    admin.patch(f"{path}/status", {"status": manifest["status"]})


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
