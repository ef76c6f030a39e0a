"""A Dask cluster of processes: a scheduler and its workers."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from deployments.sandbox.clusters.api_server import free_port
from tests.support.prefect_command import ROOT
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

SCHEDULER = "Scheduler at:"
READY = "Registered to:"


class DaskCluster:
    """A scheduler and workers with this environment, which has KUBECONFIG but nothing else of a run."""

    def __init__(
        self,
        home: Path,
        environment: dict[str, str],
        workers: int = 2,
        threads: int = 4,
        relay: TcpProxy | None = None,
    ) -> None:
        home.mkdir(exist_ok=True)
        self.home, self._environment, self._relay = home, environment, relay
        self._count, self._threads = workers, threads
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.scheduler: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        until("the scheduler", lambda: SCHEDULER in self.log("scheduler"))
        if self._relay:
            self._relay.port = int(port)
            self.address = self._relay.start().replace("https:", "tcp:")
        for _ in range(self._count):
            self.add_worker()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        if self._relay:
            self._relay.stop()

    def add_worker(self) -> None:
        name = f"worker-{len(self.workers)}"
        options = ("--no-nanny", "--nthreads", str(self._threads), "--no-dashboard", "--name", name)
        self.workers.append(self._start("worker", self.address, *options, log=name))
        until(name, lambda: READY in self.log(name))

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def served_by(self) -> dict[str, set[str]]:
        """Return the tasks that ended on each worker, by Prefect's lines in its log."""
        logs = {f"worker-{number}": self.log(f"worker-{number}") for number in range(len(self.workers))}
        return {
            name: {word for word in log.split("'") if word.startswith("sync-")} for name, log in logs.items()
        }

    def _start(self, kind: str, *arguments: str, log: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        if kind == "worker":
            command += ["--local-directory", str(self.home)]
        with (self.home / f"{log or kind}.log").open("ab") as output:
            return subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=output, stderr=output)
