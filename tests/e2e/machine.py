"""OPS with a real node, its targets DEV, RCT and PRD, and tls-sync's image: everything except the chart."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo import story
from deployments.sandbox.demo.workspace import workspace
from deployments.sandbox.node import images
from deployments.sandbox.node.node import PROGRAMS, Node
from deployments.sandbox.programs import packages
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say, say
from deployments.sandbox.world import scenario
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, write_admin_kubeconfig, write_kubeconfig

NAMESPACE = "tls-sync"
PASSWORD = "admin:canary-of-these-tests"
PASSWORD_SECRET = "tls-sync-prefect"
UID = 10001
PACKAGES = (packages.NODE, packages.IMAGES, packages.BROWSER)
_VOLUMES = 3


class CommandError(AssertionError):
    """A command failed; the message is its whole output."""


@dataclass(frozen=True)
class Machine:
    node: Node
    sandbox: Sandbox
    directory: Path
    programs: Mapping[str, Path]
    kubeconfig: Path
    """An administrator's kubeconfig of all clusters, with OPS as current context."""

    @property
    def ops(self) -> Admin:
        return self.sandbox.cluster(SOURCE_CLUSTER).admin

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self._run("kubectl", *arguments, text=text)

    def helm(self, *arguments: str) -> str:
        return self._run("helm", *arguments)

    def _run(self, program: str, *arguments: str, text: str | None = None) -> str:
        home = {name: str(self.directory / "helm" / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME")}
        done = subprocess.run(
            [self.programs[program], *arguments],
            env={**os.environ, **home, "KUBECONFIG": str(self.kubeconfig)},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"{program} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout


def prepare(say: Say) -> dict[str, Path]:
    """Prepare what takes minutes the first time. Raises SandboxError with what to install."""
    packages.require(*PACKAGES)
    programs = locate("etcd", "kube-apiserver", "kubectl", *PROGRAMS, "helm", say=say)
    return {**programs, "image": images.application(say), "pause image": images.pause(say)}


@contextmanager
def running(say: Say = say) -> Iterator[Machine]:
    files = prepare(say)
    with ExitStack() as stack:
        directory = stack.enter_context(workspace())
        node = stack.enter_context(Node(directory, say))
        settings = {name: node.setting(with_node=False) for name in scenario.CLUSTERS}
        settings[SOURCE_CLUSTER] = node.setting(with_node=True)
        clusters = (SOURCE_CLUSTER, *scenario.CLUSTERS)
        sandbox = stack.enter_context(Sandbox(clusters, directory / "clusters", say, settings))
        node.join(sandbox.cluster(SOURCE_CLUSTER))
        for image in ("pause image", "image"):
            node.runtime.load(files[image])
        kubeconfig = directory / "admin.kubeconfig"
        write_admin_kubeconfig(sandbox, kubeconfig)
        found = Machine(node, sandbox, directory, files, kubeconfig)
        _create_world(found)
        yield found


def _create_world(machine: Machine) -> None:
    """Create what people have before they install: certificates, rights on the targets, credentials."""
    machine.ops.namespace("certificates-ops")
    scenario.fill_source(machine.ops)
    credentials = machine.directory / "targets.kubeconfig"
    write_kubeconfig(machine.sandbox, credentials, scenario.TARGETS, source=False)
    story.prepare(machine.sandbox)
    make_secrets(machine, NAMESPACE, credentials.read_text())
    for number in range(_VOLUMES):
        machine.ops.create(_volume(machine.node, f"volume-{number}"))


def make_secrets(machine: Machine, namespace: str, kubeconfig: str) -> None:
    """Create the Secrets of a release: the targets' credentials, and Prefect's password."""
    machine.ops.namespace(namespace)
    for name, content in (
        ("tls-sync-kubeconfig", {"config": kubeconfig}),
        (PASSWORD_SECRET, {"auth-string": PASSWORD}),
    ):
        metadata = {"name": name, "namespace": namespace}
        machine.ops.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
        )


def _volume(node: Node, name: str) -> dict[str, object]:
    """Create PersistentVolumes on the node's disk, since there is no provisioner."""
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "hostPath": {"path": node.volume(name, UID)},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
