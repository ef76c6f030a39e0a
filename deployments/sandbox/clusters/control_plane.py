"""Several clusters on one machine: an API server each, and one etcd for all that have no own one.

    with Sandbox(("ops", "dev")) as sandbox:
        sandbox.cluster("dev").admin.secrets("homarr-dev")

All processes end with the `with` block, also after an error, Ctrl-C or SIGTERM; on Linux even after a SIGKILL
of this process, where only the directory is left.
"""

import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.api_server import LOOPBACK, ApiServer, Setting, wait_until_ready
from deployments.sandbox.clusters.etcd import Etcd
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say
from deployments.sandbox.progress import say as say_on_stderr


class Sandbox:
    """Clusters by name. A directory that is given must be empty and stays; else it is temporary.

    `own_etcds` has the number of members of each cluster's own etcd; other clusters share one.
    """

    directory: Path

    def __init__(
        self,
        clusters: Sequence[str] = ("ops", "dev", "rct", "prd"),
        directory: Path | None = None,
        say: Say = say_on_stderr,
        settings: Mapping[str, Setting] | None = None,
        own_etcds: Mapping[str, int] | None = None,
    ) -> None:
        self._names = tuple(clusters)
        self._settings = settings or {}
        self._own_etcds = own_etcds or {}
        self._given = directory
        self._say = say
        self.authority = pki.Authority("tls-sync sandbox CA")
        self._servers: dict[str, ApiServer] = {}
        self._etcds: dict[str, Etcd] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._servers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of all that runs now, etcd first."""
        servers = (server.process for server in self._servers.values())
        etcds = (pid for etcd in self._etcds.values() for pid in etcd.pids)
        return (*etcds, *(process.pid for process in servers if process is not None))

    def etcd(self, cluster: str) -> Etcd:
        """Return the etcd that stores a cluster's objects."""
        return self._etcds[cluster if cluster in self._own_etcds else ""]

    def cluster(self, name: str) -> ApiServer:
        if name not in self._servers:
            raise SandboxError(f"there is no cluster {name}, only {', '.join(self._servers)}")
        return self._servers[name]

    def add(self, name: str) -> ApiServer:
        """Start one more cluster."""
        self._start([name])
        return self._servers[name]

    def __enter__(self) -> Self:
        self._programs = locate("etcd", "kube-apiserver", say=self._say)
        self.directory = self._make_directory()
        self._old_handler = _interrupt_on_sigterm()
        try:
            self._start_etcds()
            self._start(self._names)
        except BaseException as error:
            # The message of a SandboxError names a log in the directory, so the directory stays.
            self._close(keep=isinstance(error, SandboxError))
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    def _make_directory(self) -> Path:
        if self._given is None:
            return Path(tempfile.mkdtemp(prefix="tls-sync-sandbox-"))
        self._given.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._given.chmod(0o700)
        if any(self._given.iterdir()):
            raise SandboxError(f"{self._given} isn't empty: empty it, or name another directory")
        return self._given.absolute()

    def _start_etcds(self) -> None:
        program = self._programs["etcd"]
        if set(self._names) - set(self._own_etcds):
            self._etcds[""] = Etcd(program, self.directory)
        for name, members in self._own_etcds.items():
            self._etcds[name] = Etcd(program, self.directory, f"etcd-{name}", members)
        for etcd in self._etcds.values():
            etcd.start()

    def _start(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._servers:
                raise SandboxError(f"there is already a cluster {name}")
            self._servers[name] = ApiServer(
                name,
                self.directory,
                self._programs["kube-apiserver"],
                self.authority,
                self._say,
                self._settings.get(name, LOOPBACK),
                etcd=self.etcd(name).endpoints,
            )
            self._servers[name].launch()
        wait_until_ready([self._servers[name] for name in names], self._say)

    def _close(self, *, keep: bool = False) -> None:
        """Kill everything: nobody needs what it would still write to disk."""
        for server in self._servers.values():
            server.stop(grace=0)
        for etcd in self._etcds.values():
            etcd.stop()
        if self._given is None and not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)


def _interrupt_on_sigterm() -> signal.Handlers | None:
    """Handle SIGTERM like Ctrl-C, unless another handler is set. Return the former handler."""
    try:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread, the only one that may
        return None
    return signal.SIG_DFL
