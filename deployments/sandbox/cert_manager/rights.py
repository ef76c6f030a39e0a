"""The rights that cert-manager's own chart gives its controllers, and those that its log says it lacks."""

import re
from pathlib import Path

import yaml

from deployments.sandbox.cert_manager.helm_template import without_helm
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.programs import gobuild
from deployments.sandbox.programs.binaries import cached
from deployments.sandbox.progress import Say

NAMESPACE = "cert-manager"
"""Of the controllers, and of the Secrets of ClusterIssuers."""
ACCOUNT = "cert-manager"

_FORBIDDEN = re.compile(r"is forbidden: User \S+ cannot (\w+) resource \\?\"([\w./]+)")
_NOT_SERVED = re.compile(r"failed to list \*v\d\w*\.(\w+): the server could not find the requested resource")
_TEMPLATE = Path("deploy/charts/cert-manager/templates/rbac.yaml")


def grant(admin: Admin, say: Say) -> None:
    """Create the controllers' ServiceAccount with these rights, and with no other."""
    admin.namespace(NAMESPACE)
    file = cached(gobuild.SOURCES["cert-manager"].version, "rbac.yaml", say, _collect)
    metadata = {"name": ACCOUNT}
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": ACCOUNT}
    account = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    role = {"kind": "ClusterRole", "rules": rules(file.read_text())}
    binding = {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [account]}
    admin.ensure(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata | {"namespace": NAMESPACE}}
    )
    for manifest in (role, binding):
        admin.ensure({"apiVersion": f"{group}/v1", "metadata": metadata} | manifest)


def rules(template: str) -> list[Manifest]:
    """Return the rules of the ClusterRoles of controllers in a template of Helm.

    Of these rules only the names of signers are values; nobody but cert-manager's webhook looks at them.
    """
    documents = [
        one for one in yaml.safe_load_all(without_helm(template)) if one and one["kind"] == "ClusterRole"
    ]
    return [rule for one in documents if "-controller-" in one["metadata"]["name"] for rule in one["rules"]]


def lacking(log: str) -> list[str]:
    """Return a sentence for each right or kind of resource that cert-manager has asked for in vain."""
    rights = {f"cert-manager may not {verb} {resource}" for verb, resource in _FORBIDDEN.findall(log)}
    kinds = {f"OPS does not serve {kind} in cert-manager's version" for kind in _NOT_SERVED.findall(log)}
    return sorted(rights | kinds)


def _collect(path: Path) -> None:
    path.write_text((gobuild.module_folder("cert-manager") / _TEMPLATE).read_text())
