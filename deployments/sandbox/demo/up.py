"""The playground: clusters, a Prefect server with its UI, and the flow with its schedule, until Ctrl-C."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.cert_manager.source import PROGRAMS, Source, source
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo import guide
from deployments.sandbox.demo.prefect_server import ROOT, PrefectServer, end, prefect_server, wait_for
from deployments.sandbox.demo.workspace import workspace
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say, say
from deployments.sandbox.world import scenario
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER

_DEPLOYMENT = "/api/deployments/name/tls-sync/ops"
_SETTINGS = {"PREFECT_RUNNER_POLL_FREQUENCY": "2"}  # seconds until a run by hand starts


def run() -> int:
    overriding = sorted(name for name in os.environ if name.startswith("PREFECT_"))
    say("starting a Prefect server, four clusters and cert-manager; this takes up to two minutes")
    with (
        workspace() as directory,
        prefect_server(directory, **_SETTINGS) as server,
        Sandbox(directory=directory / "clusters") as sandbox,
        ExitStack() as stack,
    ):
        issuing = _source(stack, sandbox, directory)
        world = scenario.build(sandbox, directory, issuing.fill if issuing else None)
        os.environ |= {"TLS_SYNC_CONFIG": str(world.config), "KUBECONFIG": str(world.kubeconfig)}
        server.wait(say)
        with _served(server, directory, say) as (runner, log):
            if issuing:
                issuing.await_filled(sandbox.cluster(SOURCE_CLUSTER).admin)
            print(guide.text(world, server, overriding, say), flush=True)  # noqa: T201
            watched = {
                "the Prefect server": (_pid(server.process), server.log),
                "the flow's runner": (runner, log),
            }
            watch(watched | _clusters(sandbox) | (issuing.children if issuing else {}))
    return 0


def _source(stack: ExitStack, sandbox: Sandbox, directory: Path) -> Source | None:
    """Return cert-manager on OPS, or None where it can't be had, as for lack of Go."""
    try:
        locate(*PROGRAMS, say=say)
    except SandboxError as error:
        say(f"OPS gets Secrets in cert-manager's form, without cert-manager: {error}")
        return None
    return stack.enter_context(source(sandbox, directory, say))


@contextmanager
def _served(server: PrefectServer, directory: Path, say: Say) -> Iterator[tuple[int, Path]]:
    """Start the flow's runner, and yield its process id and log once its deployment exists."""
    log = directory / "flow-runner.log"
    process = processes.spawn([sys.executable, "-m", "deployments.sandbox.demo.serve"], log, ROOT)
    try:
        wait_for(server, _DEPLOYMENT, process, log, say)
        yield process.pid, log
    finally:
        end(process)


def _clusters(sandbox: Sandbox) -> dict[str, tuple[int, Path]]:
    servers = [sandbox.cluster(name) for name in sandbox.names]
    found = {f"the API server of {server.name}": (server.pid, server.log) for server in servers}
    return {"etcd": (sandbox.pids[0], sandbox.directory / "etcd.log"), **found}


def _pid(process: processes.Process | None) -> int:
    return process.pid if process else 0


def watch(children: dict[str, tuple[int, Path]]) -> None:
    """Wait for Ctrl-C. Raises SandboxError if a child dies."""
    while True:
        for name, (pid, log) in children.items():
            if _has_ended(pid):
                raise SandboxError(
                    f"{name} died, so everything is stopped. Its last lines:\n{processes.tail(log)}\n"
                    f"The whole log is {log}."
                )
        time.sleep(0.5)


def _has_ended(pid: int) -> bool:
    """Tell whether a process has ended, and leave its exit status to its Popen object."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: the next run shows it
        return False
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
