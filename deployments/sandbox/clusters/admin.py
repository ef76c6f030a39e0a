"""A client of one API server with all rights, for tests and the demo."""

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
    """Calls for whole objects, whose path follows from the manifest."""

    def create(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        return self.post(manifests.collection_path(manifest, namespace), manifest)

    def replace(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Overwrite an object, unconditionally if the manifest has no resourceVersion."""
        return self.put(manifests.object_path(manifest, namespace), manifest)

    def ensure(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Create or update an object by server-side apply."""
        path = manifests.object_path(manifest, namespace)
        return self.apply(path, manifest, _FIELD_MANAGER, force=True)

    def apply_file(self, file: Path, namespace: str | None = None) -> None:
        """Do what `kubectl apply --server-side --namespace … --filename …` does."""
        for manifest in manifests.read(file):
            self.ensure(manifest, namespace)

    def namespace(self, name: str) -> None:
        """Create a namespace where it does not exist."""
        self.ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def secret(self, namespace: str, name: str) -> Manifest | None:
        return self.found(f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def found(self, path: str) -> Manifest | None:
        """Return the object at a path, or None."""
        try:
            return self.get(path)
        except AdminError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def secrets(self, namespace: str) -> Manifests:
        return self.list(f"/api/v1/namespaces/{namespace}/secrets")

    def token(self, namespace: str, service_account: str, seconds: int) -> str:
        """Return a bound token from a TokenRequest, which expires after that many seconds."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        return str(self.post(path, request)["status"]["token"])

    def cluster_id(self) -> str:
        """Return the uid of kube-system, which a new server creates some moments after it is ready."""
        for _ in range(300):
            if found := self.found("/api/v1/namespaces/kube-system"):
                return str(found["metadata"]["uid"])
            time.sleep(0.1)
        raise SandboxError(f"the API server at {self.address} has created no namespace kube-system in 30 s")
