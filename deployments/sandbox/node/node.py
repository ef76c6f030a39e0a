"""A real node for OPS, in its own namespaces: kubelet, containerd, scheduler, controllers, Services, DNS.

    with Node(directory) as node, Sandbox(settings={"ops": node.setting(with_node=True)}) as sandbox:
        node.join(sandbox.cluster("ops"))

The API servers run outside of them on this machine, where pods reach them. It takes root.
"""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import yaml

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import ApiServer, Setting
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.node import cgroups, network, node_configuration
from deployments.sandbox.node.container_runtime import ContainerRuntime
from deployments.sandbox.node.namespaces import Namespaces
from deployments.sandbox.programs import packages
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say, Waiting
from deployments.sandbox.progress import say as say_on_stderr
from deployments.sandbox.world.kubeconfig import write_account

PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause")
_READY_SECONDS = 180


class Node:
    """One node, for one cluster."""

    def __init__(self, directory: Path | None = None, say: Say = say_on_stderr) -> None:
        self._given = directory
        self._say = say
        self._running: dict[str, processes.Process] = {}

    def __enter__(self) -> Self:
        packages.require(packages.NODE)
        self.programs = locate(*PROGRAMS, say=self._say)
        with ExitStack() as stack:
            self.directory = self._given or _temporary(stack)
            self.cgroup = self.directory.name
            stack.enter_context(cgroups.control_group(self.cgroup))
            self.network = network.free()
            self._namespaces = stack.enter_context(Namespaces(self.directory / "node"))
            self.network.connect(self._namespaces)
            self.runtime = ContainerRuntime(self._namespaces, self.network)
            self.runtime.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def setting(self, *, with_node: bool) -> Setting:
        """Return the setting of an API server that pods reach, and of the one that the node joins."""
        address, services = str(self.network.machine), self.network.services
        if not with_node:
            return Setting(address, services)
        accounts = {program.user: program.group for program in node_configuration.CLIENTS.values()}
        return Setting(address, services, accounts, node_configuration.API_SERVER_FLAGS)

    def join(self, server: ApiServer) -> None:
        """Start the node's and the control plane's programs, and wait until the node is ready."""
        for name, client in node_configuration.CLIENTS.items():
            write_account(server, client.user, self._file(f"{name}.kubeconfig"))
        for manifest in node_configuration.rights():
            server.admin.ensure(manifest)
        files = node_configuration.files(self.directory / "node", self.cgroup, self.network)
        for name, content in files.items():
            self._file(name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        for name, flags in node_configuration.commands(self.directory / "node", server, self.network).items():
            self._start(name, flags)
        self._await_readiness(server)

    def volume(self, name: str, owner: int) -> str:
        """Create a folder for a hostPath volume, and return its path on the node."""
        folder = self.directory / "node" / "var" / "lib" / "volumes" / name
        folder.mkdir(parents=True)
        os.chown(folder, owner, owner)
        return f"/var/lib/volumes/{name}"

    def _start(self, name: str, flags: list[str]) -> None:
        command = [str(self.programs[name]), *flags]
        self._running[name] = self._namespaces.spawn(command, self._file(f"{name}.log"))

    def _await_readiness(self, server: ApiServer) -> None:
        waiting = Waiting("starting the node", self._say)
        while not self._is_ready(server):
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise SandboxError(self._failure(f"{name} ended", name))
            if waiting.seconds > _READY_SECONDS:
                raise SandboxError(self._failure(f"the node isn't ready after {_READY_SECONDS} s", "kubelet"))
            waiting.tick()
            time.sleep(0.5)
        self._say(f"node of {server.name} ready after {waiting.seconds} s")

    def _failure(self, what: str, name: str) -> str:
        log = self._file(f"{name}.log")
        return f"{what}:\n{processes.tail(log)}\nThe whole log is {log}."

    def _is_ready(self, server: ApiServer) -> bool:
        nodes = server.admin.list("/api/v1/nodes")
        conditions = [condition for node in nodes for condition in node["status"].get("conditions", [])]
        return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)

    def _file(self, name: str) -> Path:
        return self.directory / "node" / name


def _temporary(stack: ExitStack) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="tls-sync-node-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory
