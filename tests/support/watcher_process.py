"""Runs the watcher as a process, grants it its permissions, and follows its copies on the targets."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tests.support.monitoring import fetch
from tests.support.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/roles/tls-sync"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/leases"
LEASE = (f"--lease={SOURCE_NAMESPACE}/tls-sync-watch", "--lease-context=cluster-ops")
HOLD_LEASES = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "update"],
}
OURS = "labelSelector=app.kubernetes.io/managed-by%3Dtls-sync"


@contextmanager
def may_watch(ops: Admin, *more: Manifest) -> Iterator[None]:
    """Let tls-sync watch the Secrets of OPS, as the chart does for the watcher, and add these rules."""
    role = ops.get(ROLE)
    rules = [{**rule, "verbs": [*rule["verbs"], "watch"]} for rule in role["rules"]]
    ops.patch(ROLE, {"rules": [*rules, *more]})
    try:
        yield
    finally:
        ops.patch(ROLE, {"rules": role["rules"]})


class Process:
    """`flows.watch` with a free port; stdout and stderr go to the log file."""

    def __init__(self, log: Path, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
        self._log, self.port = log, free_port()
        environment = os.environ | {
            "PREFECT_HOME": str(log.parent / "prefect"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            **settings,
        }
        command = [sys.executable, "-m", "flows.watch", f"--port={self.port}", *arguments]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for_output(self, text: str) -> None:
        until(text, lambda: text in self.output or self.process.poll() is not None)
        assert text in self.output, self.output

    def wait_until_ready(self) -> None:
        """Wait until it serves its metrics; by then it has imported its modules."""
        until("its port", lambda: self.process.poll() is not None or self.metrics)
        assert self.process.poll() is None, self.output

    @property
    def metrics(self) -> str:
        return fetch(f"http://127.0.0.1:{self.port}/metrics")


@contextmanager
def watcher(directory: Path, *arguments: str, name: str = "watch", **settings: str) -> Iterator[Process]:
    """Run a watcher with these settings as environment variables, and end it with SIGTERM."""
    started = Process(directory / f"{name}.log", arguments, settings)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
        started.process.wait(PATIENCE)


class Arrivals:
    """The copies on each target and the time when each arrived, followed by watches."""

    def __init__(self, targets: Mapping[str, Admin]) -> None:
        self._targets = targets
        self._changed = threading.Condition()
        self._copies: dict[tuple[str, str], tuple[str, float]] = {}
        self._closed = False
        for cluster, admin in targets.items():
            threading.Thread(target=self._follow, args=(cluster, admin), daemon=True).start()

    def _follow(self, cluster: str, admin: Admin) -> None:
        while not self._closed:
            with suppress(OSError, AdminError):
                listed = admin.get(f"/api/v1/secrets?{OURS}")
                self._store(cluster, *listed["items"])
                since = listed["metadata"]["resourceVersion"]
                for event in admin.watch(f"/api/v1/secrets?watch=1&resourceVersion={since}&{OURS}"):
                    self._store(cluster, event["object"])

    def _store(self, cluster: str, *secrets: Manifest) -> None:
        now = time.perf_counter()
        with self._changed:
            for secret in secrets:
                self._copies[cluster, secret["metadata"]["name"]] = (secret["data"]["tls.crt"], now)
            self._changed.notify_all()

    def close(self) -> None:
        self._closed = True

    def are_complete(self, secret: Manifest) -> bool:
        """Whether every target has the certificate of this Secret."""
        with self._changed:
            return len(self._times(secret)) == len(self._targets)

    def wait(self, secret: Manifest) -> float:
        """Wait until every target has it; return the last arrival as a value of time.perf_counter()."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self._times(secret)) == len(self._targets), PATIENCE)
            assert arrived, f"{secret['metadata']['name']} did not arrive everywhere"
            return max(self._times(secret))

    def _times(self, secret: Manifest) -> list[float]:
        name, wanted = secret["metadata"]["name"], secret["data"]["tls.crt"]
        copies = [self._copies.get((cluster, name), ("", 0.0)) for cluster in self._targets]
        return [time for content, time in copies if content == wanted]
