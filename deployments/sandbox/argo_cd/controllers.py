"""Argo CD as processes beside one cluster: Applications, ApplicationSets, and the server of repositories.

core-install.yaml of its module has what Argo CD is without its API server, and so without UI and logins. Its
workloads run here and not in the cluster, and have all rights.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from deployments.sandbox import processes
from deployments.sandbox.clusters import manifests
from deployments.sandbox.clusters.api_server import ApiServer, free_port
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import gobuild, packages
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say
from deployments.sandbox.world.certificate_resource import await_served
from deployments.sandbox.world.kubeconfig import write_admin

NAMESPACE = "argocd"
PROGRAMS = ("argocd", "helm")

_WORKLOADS = {"Deployment", "StatefulSet", "Service", "NetworkPolicy"}
_STOP_SECONDS = 10


class ArgoCD:
    """The controllers of one cluster. `with` installs the CustomResourceDefinitions and starts them."""

    def __init__(self, server: ApiServer, directory: Path, say: Say) -> None:
        self._server, self._say = server, say
        self._directory = directory / "argo-cd"
        self._running: dict[str, processes.Process] = {}

    def __enter__(self) -> Self:
        packages.require_argo_cd()
        self._programs = locate(*PROGRAMS, say=self._say)
        self._directory.mkdir(mode=0o700)
        self._environment = self._prepare()
        self._install()
        with ExitStack() as stack:
            stack.callback(self._stop)
            self._start()
            stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()

    def require_running(self) -> None:
        """Raise SandboxError with the last lines of a program that has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise SandboxError(f"{name} has ended:\n{processes.tail(self._log(name))}")

    def explain(self) -> str:
        """Return the end of each log, for an error message."""
        return "\n".join(f"{name}:\n{processes.tail(self._log(name))}" for name in self._running)

    def _install(self) -> None:
        admin = self._server.admin
        admin.namespace(NAMESPACE)
        file = gobuild.module_folder("argocd") / "manifests" / "core-install.yaml"
        found = [manifest for manifest in manifests.read(file) if manifest["kind"] not in _WORKLOADS]
        for manifest in found:
            admin.ensure(manifest, NAMESPACE)
        for manifest in found:
            if manifest["kind"] == "CustomResourceDefinition":
                await_served(admin, manifest)
        admin.ensure(_default_project())

    def _start(self) -> None:
        redis, repositories = free_port(), free_port()
        found = {"--redis": redis, "--repo-server": repositories}
        addresses = [f"{flag}=127.0.0.1:{port}" for flag, port in found.items()]
        self._spawn(
            "redis-server",
            packages.path_of("redis-server"),
            *("--bind", "127.0.0.1", "--port", str(redis), "--save", ""),
        )
        self._role(
            "argocd-repo-server",
            *("--address=127.0.0.1", f"--port={repositories}", "--disable-tls", addresses[0]),
            *("--metrics-address=127.0.0.1", f"--metrics-port={free_port()}"),
        )
        self._role(
            "argocd-application-controller",
            *(f"--namespace={NAMESPACE}", *addresses, "--repo-server-plaintext"),
            f"--metrics-port={free_port()}",
        )
        self._role(
            "argocd-applicationset-controller",
            *(f"--namespace={NAMESPACE}", f"--argocd-repo-server=127.0.0.1:{repositories}"),
            "--repo-server-plaintext",
            *(f"--metrics-addr=127.0.0.1:{free_port()}", f"--probe-addr=127.0.0.1:{free_port()}"),
            f"--webhook-addr=127.0.0.1:{free_port()}",
        )

    def _role(self, name: str, *flags: str) -> None:
        """Start the program in one of its roles, which it knows by its name."""
        environment = {**self._environment, "ARGOCD_BINARY_NAME": name}
        self._spawn(name, str(self._programs["argocd"]), *flags, environment=environment)

    def _spawn(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self._running[name] = processes.spawn(command, self._log(name), self._directory, environment)

    def _prepare(self) -> dict[str, str]:
        """Make the folders and the kubeconfig of all roles, and return the environment that names them."""
        folders = {name: self._directory / name for name in ("tls", "ssh", "plugins", "home", "tmp")}
        for folder in folders.values():
            folder.mkdir()
        kubeconfig = self._directory / "kubeconfig"
        write_admin(self._server, kubeconfig)
        path = os.pathsep.join((str(self._programs["helm"].parent), os.environ.get("PATH", "")))
        return {
            "ARGOCD_FAKE_IN_CLUSTER": "true",  # its own cluster is the one of the kubeconfig
            "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH": "true",  # there is no UI to show it
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(folders["tls"]),
            "ARGOCD_SSH_DATA_PATH": str(folders["ssh"]),
            "ARGOCD_PLUGINSOCKFILEPATH": str(folders["plugins"]),
            "HOME": str(folders["home"]),
            "TMPDIR": str(folders["tmp"]),
            "KUBECONFIG": str(kubeconfig),
            "PATH": path,
        }

    def _stop(self) -> None:
        while self._running:
            processes.stop(self._running.popitem()[1], _STOP_SECONDS)
        shutil.rmtree(self._directory / "tmp", ignore_errors=True)

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


def _default_project() -> manifests.Manifest:
    """Return the project that Argo CD's API server makes at its first start."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }
