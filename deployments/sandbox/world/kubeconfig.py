"""Kubeconfigs: tls-sync's, with the rights that deployments/ grants, and one for people."""

import base64
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.rest import AdminError, Rest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE

SOURCE_CLUSTER = "ops"

_RIGHTS = Path(__file__).parents[3] / "tasks" / "setup"
_SERVICE_ACCOUNT = "tls-sync"  # in the namespace of the same name, as the files have it
_TOKEN_SECONDS = 30 * 24 * 60 * 60
_POLICY_SECONDS = 60


def context_name(cluster: str) -> str:
    return f"cluster-{cluster}"


def write_kubeconfig(
    sandbox: Sandbox, path: Path, targets: Mapping[str, Sequence[str]], *, source: bool = True
) -> None:
    """Create tls-sync's account and rights on OPS and on the targets, and write tokens that last 30 days.

    With source=False: for a run in OPS, where Helm creates the account.
    """
    if source:
        grant_source(sandbox.cluster(SOURCE_CLUSTER))
    for name, namespaces in targets.items():
        _grant_target(sandbox.cluster(name), namespaces)
    servers = [sandbox.cluster(name) for name in ((SOURCE_CLUSTER, *targets) if source else targets)]
    tokens = {
        server: server.admin.token(_SERVICE_ACCOUNT, _SERVICE_ACCOUNT, _TOKEN_SECONDS) for server in servers
    }
    for name, namespaces in targets.items():
        if namespaces:
            _await_policy(sandbox.cluster(name), tokens[sandbox.cluster(name)], namespaces[0])
    _write(path, tokens)


def write_account(server: ApiServer, user: str, path: Path) -> None:
    """Write the kubeconfig of one of the users that a server has besides its admin."""
    _write(path, {server: server.tokens[user]})


def write_admin(server: ApiServer, path: Path) -> None:
    """Write a kubeconfig with all rights on one cluster."""
    _write(path, {server: server.admin_token})


def write_service_account(server: ApiServer, namespace: str, name: str, path: Path) -> None:
    """Write the kubeconfig of a ServiceAccount, with a token that lasts 30 days."""
    _write(path, {server: server.admin.token(namespace, name, _TOKEN_SECONDS)})


def write_admin_kubeconfig(sandbox: Sandbox, path: Path) -> None:
    """Write a kubeconfig for people, with all rights on all clusters."""
    servers = [sandbox.cluster(name) for name in sandbox.names]
    _write(path, {server: server.admin_token for server in servers})


def grant_source(server: ApiServer) -> None:
    """Create on OPS what a release of the chart has: namespace, ServiceAccount and rights."""
    server.admin.namespace(SOURCE_NAMESPACE)
    server.admin.apply_file(_RIGHTS / "ops" / "rbac.yaml")
    server.admin.apply_file(_RIGHTS / "ops" / "namespace-role.yaml", SOURCE_NAMESPACE)


def _grant_target(server: ApiServer, namespaces: Sequence[str]) -> None:
    server.admin.apply_file(_RIGHTS / "target" / "rbac.yaml")
    server.admin.apply_file(_RIGHTS / "target" / "admission-policy.yaml")
    for namespace in namespaces:
        server.admin.namespace(namespace)
        server.admin.apply_file(_RIGHTS / "target" / "namespace-role.yaml", namespace)


def _await_policy(server: ApiServer, token: str, namespace: str) -> None:
    """Wait until the API server enforces the new policy, which takes some seconds."""
    account = Rest(*server.admin.address, server.ca_pem, token)
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}, "type": "Opaque"}
    deadline = time.monotonic() + _POLICY_SECONDS
    while time.monotonic() < deadline:
        try:
            account.post(f"/api/v1/namespaces/{namespace}/secrets?dryRun=All", manifest)
        except AdminError as error:
            if "ValidatingAdmissionPolicy" in str(error):
                return
        time.sleep(0.1)
    raise SandboxError(f"{server.name} does not enforce the admission policy after {_POLICY_SECONDS} s")


def _write(path: Path, tokens: Mapping[ApiServer, str]) -> None:
    names = {server: context_name(server.name) for server in tokens}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server.url,
                    "certificate-authority-data": base64.b64encode(server.ca_pem).decode(),
                },
            }
            for server, name in names.items()
        ],
        "users": [{"name": name, "user": {"token": tokens[server]}} for server, name in names.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names.values()],
        "current-context": next(iter(names.values())),
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    partial.replace(path)
