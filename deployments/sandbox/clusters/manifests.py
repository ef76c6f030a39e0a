"""API paths of the kinds of objects that the sandbox handles."""

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
Manifests = list[Manifest]

_IN_A_NAMESPACE = {
    "AppProject": "appprojects",
    "Application": "applications",
    "ApplicationSet": "applicationsets",
    "Certificate": "certificates",
    "ConfigMap": "configmaps",
    "Issuer": "issuers",
    "Pod": "pods",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "ServiceAccount": "serviceaccounts",
}
_IN_NO_NAMESPACE = {
    "ClusterIssuer": "clusterissuers",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Namespace": "namespaces",
    "PersistentVolume": "persistentvolumes",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def collection_path(manifest: Manifest, namespace: str | None = None) -> str:
    """Return the path for creating an object; `namespace` is the default where the manifest has none."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    prefix = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    if kind in _IN_NO_NAMESPACE:
        return f"{prefix}/{_IN_NO_NAMESPACE[kind]}"
    namespace = manifest["metadata"].get("namespace", namespace)
    if namespace is None:
        raise ValueError(f"{kind} {manifest['metadata']['name']} needs a namespace")
    return f"{prefix}/namespaces/{namespace}/{_IN_A_NAMESPACE[kind]}"


def object_path(manifest: Manifest, namespace: str | None = None) -> str:
    return f"{collection_path(manifest, namespace)}/{manifest['metadata']['name']}"


def read(file: Path) -> Manifests:
    """Return all documents of a YAML file."""
    return [document for document in yaml.safe_load_all(file.read_text()) if document]
