"""Observes the runs' pods while they run: their specification, and what the kernel reports."""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.sandbox.clusters.rest import AdminError
from deployments.sandbox.node import cgroups
from tests.e2e.machine import NAMESPACE, Machine

RUN_LABEL = "prefect.io/flow-run-id"
_INTERVAL = 0.25
_BEGINNINGS = ("runc", "exe")
"""Beginnings of the name of a container's process until it is confined and executes the command.

runc starts itself again as /proc/self/exe, and renames itself a moment later.
"""


@dataclass(frozen=True)
class Process:
    """Facts of the kernel about one process of a pod."""

    command: str
    uid: int
    capabilities: int
    """The union of effective, permitted and bounding capabilities."""
    no_new_privileges: bool
    seccomp: bool
    root_is_read_only: bool


@dataclass
class SeenPod:
    name: str
    uid: str
    manifest: Mapping[str, Any]
    peak_bytes: int = 0
    working_set_bytes: int = 0
    processes: set[Process] = field(default_factory=set)


class Witness:
    """Observes from `start` to `stop`; has the pods by the run's id, in the order of their creation."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.pods: dict[str, list[SeenPod]] = {}
        self.errors: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def processes_of(self, pod: SeenPod) -> Iterator[int]:
        return cgroups.processes(self._machine.node.cgroup, pod.uid)

    def _watch(self) -> None:
        while not self._end.wait(_INTERVAL):
            try:
                self._look()
            except (OSError, http.client.HTTPException, AdminError) as error:
                self.errors.append(repr(error))

    def _look(self) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={RUN_LABEL}"
        for manifest in self._machine.ops.list(path):
            metadata = manifest["metadata"]
            pods = self.pods.setdefault(metadata["labels"][RUN_LABEL], [])
            if not (pod := next((pod for pod in pods if pod.uid == metadata["uid"]), None)):
                pod = SeenPod(metadata["name"], metadata["uid"], manifest)
                pods.append(pod)
            pod.manifest = manifest
            self._measure(pod)

    def _measure(self, pod: SeenPod) -> None:
        group = self._machine.node.cgroup
        pod.peak_bytes = max(pod.peak_bytes, cgroups.peak(group, pod.uid))
        pod.working_set_bytes = max(pod.working_set_bytes, cgroups.working_set(group, pod.uid))
        for pid in self.processes_of(pod):
            with suppress(OSError, ValueError, StopIteration):  # it has ended
                found = _look_at(Path(f"/proc/{pid}"))
                if not found.command.startswith(_BEGINNINGS):
                    pod.processes.add(found)


def _look_at(process: Path) -> Process:
    lines = (line.partition(":") for line in (process / "status").read_text().splitlines())
    status = {name: value.split() for name, _, value in lines}
    mounts = (line.split() for line in (process / "mountinfo").read_text().splitlines())
    root = next(mount for mount in mounts if mount[4] == "/")
    capabilities = 0
    for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        capabilities |= int(status[name][0], 16)
    return Process(
        command=status["Name"][0],
        uid=int(status["Uid"][1]),
        capabilities=capabilities,
        no_new_privileges=status["NoNewPrivs"] == ["1"],
        seccomp=status["Seccomp"] == ["2"],
        root_is_read_only="ro" in root[5].split(","),
    )
