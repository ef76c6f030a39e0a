"""Several clusters on one machine: an API server each, and one etcd for all of them.

    with Sandbox(("ops", "dev")) as sandbox:
        sandbox.cluster("dev").admin.secrets("homarr-dev")

Nothing of it outlives the `with`: not after an error, Ctrl-C or SIGTERM, and on Linux not even
after a SIGKILL of this process (then only the directory is left).
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from deployments.sandbox import pki, processes
from deployments.sandbox.api_server import LOOPBACK, ApiServer, Setting, wait_until_ready
from deployments.sandbox.binaries import locate
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say
from deployments.sandbox.progress import say as say_on_stderr

_ETCD_SECONDS = 60

# etcd has no passwords here, so it listens on sockets in a directory that is ours alone. Their
# paths are relative to it, as those of sockets may have no more than about 100 characters.
_ETCD_FLAGS = (
    "--name=sandbox",
    "--data-dir=etcd",
    "--listen-client-urls=unix://etcd.sock",
    "--listen-peer-urls=unix://etcd-peer.sock",
    "--advertise-client-urls=http://localhost:2379",  # must look like one; nobody uses it
    "--initial-cluster=sandbox=http://localhost:2380",
    "--unsafe-no-fsync",
    "--quota-backend-bytes=8000000000",
    "--log-level=warn",
)


class Sandbox:
    """Clusters by name. A directory of your own must be empty and is kept; else it's temporary."""

    directory: Path

    def __init__(
        self,
        clusters: Sequence[str] = ("ops", "dev", "rct", "prd"),
        directory: Path | None = None,
        say: Say = say_on_stderr,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        self._names = tuple(clusters)
        self._settings = settings or {}
        self._given = directory
        self._say = say
        self.authority = pki.Authority("tls-sync sandbox CA")
        self._servers: dict[str, ApiServer] = {}
        self._etcd: processes.Process | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._servers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of all that runs now, etcd first."""
        processes_here = [self._etcd, *(server.process for server in self._servers.values())]
        return tuple(process.pid for process in processes_here if process is not None)

    def cluster(self, name: str) -> ApiServer:
        if name not in self._servers:
            raise SandboxError(f"there is no cluster {name}, only {', '.join(self._servers)}")
        return self._servers[name]

    def add(self, name: str) -> ApiServer:
        """One more cluster."""
        self._start([name])
        return self._servers[name]

    def __enter__(self) -> Self:
        self._programs = locate("etcd", "kube-apiserver", say=self._say)
        self.directory = self._make_directory()
        self._old_handler = _interrupt_on_sigterm()
        try:
            self._start_etcd()
            self._start(self._names)
        except BaseException as error:
            # The message of a SandboxError names a log in the directory, which must then be there.
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

    def _start_etcd(self) -> None:
        log = self.directory / "etcd.log"
        self._etcd = processes.spawn([self._programs["etcd"], *_ETCD_FLAGS], log, self.directory)
        deadline = time.monotonic() + _ETCD_SECONDS
        while not (self.directory / "etcd.sock").exists():
            if self._etcd.poll() is not None or time.monotonic() > deadline:
                raise SandboxError(f"etcd did not start:\n{processes.tail(log)}\nThe whole log is {log}.")
            time.sleep(0.05)

    def _start(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._servers:
                raise SandboxError(f"there already is a cluster {name}")
            program, setting = self._programs["kube-apiserver"], self._settings.get(name, LOOPBACK)
            self._servers[name] = ApiServer(name, self.directory, program, self.authority, self._say, setting)
            self._servers[name].launch()
        wait_until_ready([self._servers[name] for name in names], self._say)

    def _close(self, *, keep: bool = False) -> None:
        """By force: what it would write to disk is thrown away, or of no use to anybody."""
        for server in self._servers.values():
            server.stop(grace=0)
        if self._etcd is not None:
            processes.stop(self._etcd)
        if self._given is None and not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)


def _interrupt_on_sigterm() -> signal.Handlers | None:
    """Let SIGTERM do what Ctrl-C does; leave alone a handler that someone else set."""
    try:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread, the only one that may
        return None
    return signal.SIG_DFL
