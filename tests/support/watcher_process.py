"""The watcher as a process of its own, what it needs, and what comes of it on the targets."""

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
    """tls-sync may watch the Secrets of OPS, as the chart lets its watcher, and what else these rules let."""
    role = ops.get(ROLE)
    rules = [{**rule, "verbs": [*rule["verbs"], "watch"]} for rule in role["rules"]]
    ops.patch(ROLE, {"rules": [*rules, *more]})
    try:
        yield
    finally:
        ops.patch(ROLE, {"rules": role["rules"]})


class Process:
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
    def said(self) -> str:
        return self._log.read_text()

    def wait_until_it_says(self, words: str) -> None:
        until(words, lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said, self.said

    def wait_for_its_port(self) -> None:
        """By then it has imported what it needs."""
        until("its port", lambda: self.process.poll() is not None or self.metrics)
        assert self.process.poll() is None, self.said

    @property
    def metrics(self) -> str:
        return fetch(f"http://127.0.0.1:{self.port}/metrics")


@contextmanager
def watcher(directory: Path, *arguments: str, name: str = "watch", **settings: str) -> Iterator[Process]:
    """A running one, with more settings as environment variables."""
    started = Process(directory / f"{name}.log", arguments, settings)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
        started.process.wait(PATIENCE)


class Arrivals:
    """What came to lie on the targets, and when: by watching them, so that looking costs little."""

    def __init__(self, targets: Mapping[str, Admin]) -> None:
        self._targets = targets
        self._came = threading.Condition()
        self._lying: dict[tuple[str, str], tuple[str, float]] = {}
        self._ended = False
        for cluster, admin in targets.items():
            threading.Thread(target=self._follow, args=(cluster, admin), daemon=True).start()

    def _follow(self, cluster: str, admin: Admin) -> None:
        while not self._ended:
            with suppress(OSError, AdminError):
                listed = admin.get(f"/api/v1/secrets?{OURS}")
                self._note(cluster, *listed["items"])
                since = listed["metadata"]["resourceVersion"]
                for event in admin.watch(f"/api/v1/secrets?watch=1&resourceVersion={since}&{OURS}"):
                    self._note(cluster, event["object"])

    def _note(self, cluster: str, *secrets: Manifest) -> None:
        moment = time.perf_counter()
        with self._came:
            for secret in secrets:
                self._lying[cluster, secret["metadata"]["name"]] = (secret["data"]["tls.crt"], moment)
            self._came.notify_all()

    def close(self) -> None:
        self._ended = True

    def are(self, secret: Manifest) -> bool:
        """Whether every target has what this Secret holds."""
        with self._came:
            return len(self._moments(secret)) == len(self._targets)

    def wait(self, secret: Manifest) -> float:
        """When the last target had what this Secret holds, as a moment of time.perf_counter()."""
        with self._came:
            arrived = self._came.wait_for(lambda: len(self._moments(secret)) == len(self._targets), PATIENCE)
            assert arrived, f"{secret['metadata']['name']} did not arrive everywhere"
            return max(self._moments(secret))

    def _moments(self, secret: Manifest) -> list[float]:
        name, wanted = secret["metadata"]["name"], secret["data"]["tls.crt"]
        lying = [self._lying.get((cluster, name), ("", 0.0)) for cluster in self._targets]
        return [moment for content, moment in lying if content == wanted]
