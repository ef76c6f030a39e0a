"""The owner of a namespace on a target, who asks for certificates there by a label and a binding."""

from pathlib import Path

from deployments.sandbox.clusters.admin import AdminError
from tests.support.clusters import Manifest, World
from tests.support.waiting import until

ROLES = Path(__file__).parents[2] / "tasks" / "setup" / "target" / "selector-role.yaml"
LABEL, VALUE = "tls-sync.io/receives", "web"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"
BINDING: Manifest = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "tls-sync-receiver"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tls-sync-receiver"},
    "subjects": [{"kind": "ServiceAccount", "name": "tls-sync", "namespace": "tls-sync"}],
}


class NamespaceOwner:
    """Waits until the API server's authorizer knows what was bound, which takes some moments."""

    def __init__(self, world: World, namespace: str, label: str = LABEL) -> None:
        self.admin, self.account = world.admin(), world.account()
        self.namespace, self._label = namespace, label
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self.admin.apply_file(ROLES)
        self.admin.namespace(namespace)
        until("the account may list namespaces", self._may_list_namespaces)

    def label(self, *, on: bool) -> None:
        labels = {self._label: VALUE if on else None}
        self.admin.patch(f"/api/v1/namespaces/{self.namespace}", {"metadata": {"labels": labels}})

    def bind(self, *, on: bool) -> None:
        path = BINDINGS.format(self.namespace)
        if on:
            self.admin.ensure(BINDING, self.namespace)
        elif self.admin.found(f"{path}/tls-sync-receiver"):
            self.admin.delete(f"{path}/tls-sync-receiver")
        until(f"bound is {on}", lambda: self.may_list == on)

    @property
    def may_list(self) -> bool:
        try:
            self.account.list(self._secrets)
        except AdminError:
            return False
        return True

    def _may_list_namespaces(self) -> bool:
        try:
            self.account.list("/api/v1/namespaces")
        except AdminError:
            return False
        return True

    def leave(self) -> None:
        """Take everything back: other tests have this cluster, too."""
        self.label(on=False)
        self.bind(on=False)
        self.admin.delete(self._secrets)
