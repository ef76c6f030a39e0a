"""cert-manager's own controllers as a process, for one cluster.

They have the rights of cert-manager's chart. No webhook validates a resource beyond its
CustomResourceDefinition, so durations are accepted that the webhook refuses. There is no cainjector, and no
garbage collector: what belonged to a deleted Certificate stays until something waits for cert-manager
(resources.delete_orphans).
"""

from pathlib import Path
from typing import Self

from deployments.sandbox import processes
from deployments.sandbox.cert_manager.rights import ACCOUNT, NAMESPACE, grant, lacking
from deployments.sandbox.clusters import manifests
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import gobuild
from deployments.sandbox.programs.binaries import cached, locate
from deployments.sandbox.progress import Say
from deployments.sandbox.world.certificate_resource import await_served
from deployments.sandbox.world.kubeconfig import write_service_account

_STOP_SECONDS = 15


class CertManager:
    """The controllers of one cluster. `with` installs the CustomResourceDefinitions and starts them."""

    def __init__(self, server: ApiServer, nameserver: str, say: Say) -> None:
        """`nameserver` is the host:port of the DNS server of ACME challenges."""
        self._server, self._nameserver, self._say = server, nameserver, say
        self.log = server.directory / "cert-manager.log"
        self._process: processes.Process | None = None

    @property
    def admin(self) -> Admin:
        """A client of the cluster with all rights."""
        return self._server.admin

    @property
    def pid(self) -> int:
        if self._process is None:
            raise SandboxError("cert-manager is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        install(self.admin, self._say)
        grant(self.admin, self._say)
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start without waiting. A problem at the start shows in the log."""
        program = locate("cert-manager", say=self._say)["cert-manager"]
        kubeconfig = self._server.directory / "cert-manager.kubeconfig"
        write_service_account(self._server, NAMESPACE, ACCOUNT, kubeconfig)
        command: list[str | Path] = [
            program,
            f"-kubeconfig={kubeconfig}",
            f"-nameserver={self._nameserver}",
            f"-cluster-resource-namespace={NAMESPACE}",
        ]
        self._process = processes.spawn(command, self.log, self._server.directory)

    def stop(self, grace: float = _STOP_SECONDS) -> None:
        """Stop within that many seconds; with 0, as in a crash."""
        if self._process is not None:
            processes.stop(self._process, grace)
            self._process = None

    def explain(self) -> str:
        """Return what it lacks, the end of the log for an error message, and where the whole log is."""
        whole = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [*lacking(whole), "cert-manager's last lines:", processes.tail(self.log)]
        return "\n".join([*lines, f"The whole log is {self.log}."])


def custom_resource_definitions(say: Say) -> list[manifests.Manifest]:
    """Return cert-manager's own CustomResourceDefinitions, from the module that the program is built from."""
    file = cached(gobuild.SOURCES["cert-manager"].version, "crds.yaml", say, _collect)
    return manifests.read(file)


def _collect(path: Path) -> None:
    files = sorted((gobuild.module_folder("cert-manager") / "deploy" / "crds").glob("*.yaml"))
    path.write_text("---\n".join(file.read_text() for file in files))


def install(admin: Admin, say: Say) -> None:
    """Create the CustomResourceDefinitions and wait until the API serves them, some moments later."""
    definitions = custom_resource_definitions(say)
    for definition in definitions:
        admin.ensure(definition)
    for definition in definitions:
        await_served(admin, definition)
