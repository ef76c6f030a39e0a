"""Renews a made certificate on OPS, with the writes and in the order of cert-manager."""

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer


def renew(ops: Admin, name: str) -> Manifest:
    """Write another key and a later certificate into the Secret, then update its Certificate."""
    secret = ops.secret(SOURCE_NAMESPACE, name)
    if secret is None:
        raise SandboxError(f"OPS has no Secret {name}")
    renewed = Issuer().renew(secret)
    ops.replace(renewed)
    certificate_resource.put(ops, certificate_resource.certificate(renewed))
    return renewed
