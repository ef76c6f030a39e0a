"""The harness's hand and eye on one API server, with all rights."""

import http.client
import time
from pathlib import Path

from deployments.sandbox.clusters import manifests
from deployments.sandbox.clusters.manifests import Manifest, Manifests
from deployments.sandbox.clusters.rest import AdminError, Rest
from deployments.sandbox.errors import SandboxError

__all__ = ["Admin", "AdminError"]

_FIELD_MANAGER = "sandbox"


class Admin(Rest):
    """Whole objects: the path follows from the manifest."""

    def create(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        return self.post(manifests.collection_path(manifest, namespace), manifest)

    def replace(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Overwrite an object; unconditionally if the manifest has no resourceVersion."""
        return self.put(manifests.object_path(manifest, namespace), manifest)

    def ensure(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Create an object or bring it to what the manifest says, by server-side apply."""
        path = manifests.object_path(manifest, namespace)
        return self.apply(path, manifest, _FIELD_MANAGER, force=True)

    def apply_file(self, file: Path, namespace: str | None = None) -> None:
        """What `kubectl apply --server-side --namespace … --filename …` does."""
        for manifest in manifests.read(file):
            self.ensure(manifest, namespace)

    def namespace(self, name: str) -> None:
        """Make sure that a namespace exists."""
        self.ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def secret(self, namespace: str, name: str) -> Manifest | None:
        return self.found(f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def found(self, path: str) -> Manifest | None:
        """The object at a path, None where there is none."""
        try:
            return self.get(path)
        except AdminError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def secrets(self, namespace: str) -> Manifests:
        return self.list(f"/api/v1/namespaces/{namespace}/secrets")

    def token(self, namespace: str, service_account: str, seconds: int) -> str:
        """A bound token, by TokenRequest."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        return str(self.post(path, request)["status"]["token"])

    def cluster_id(self) -> str:
        """The uid of kube-system, which a new server makes some moments after it is ready."""
        for _ in range(300):
            if found := self.found("/api/v1/namespaces/kube-system"):
                return str(found["metadata"]["uid"])
            time.sleep(0.1)
        raise SandboxError(f"the API server at {self.address} made no namespace kube-system")
