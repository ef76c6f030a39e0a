"""The node itself, on which the tests of the chart depend."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.machine import UID, Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_SECONDS = 180
_SCRIPT = """
import os, ssl, urllib.request
token = open('/var/run/secrets/kubernetes.io/serviceaccount/token').read()
context = ssl.create_default_context(cafile='/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
request = urllib.request.Request('https://kubernetes.default.svc/version')
request.add_header('Authorization', f'Bearer {token}')
print(urllib.request.urlopen(request, context=context).status, os.getuid())
"""


def test_a_pod_reaches_the_api_server_by_its_name(machine: Machine) -> None:
    """A pod without rights runs, resolves a Service, and reaches the API server with its own token."""
    security = {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "probe",
        "image": "localhost/tls-sync:e2e",
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", _SCRIPT],
        "securityContext": security,
        "resources": {"limits": {"memory": "256Mi", "cpu": "500m"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    _await_account(machine)
    machine.ops.create(pod)
    deadline, phase = time.monotonic() + _SECONDS, ""
    while phase not in {"Succeeded", "Failed"}:
        assert time.monotonic() < deadline, machine.kubectl("describe", "pod", "probe")
        phase = machine.ops.get("/api/v1/namespaces/default/pods/probe")["status"].get("phase", "")
        time.sleep(0.5)
    assert machine.kubectl("logs", "probe").split() == ["200", str(UID)]
    machine.ops.delete("/api/v1/namespaces/default/pods/probe")


def _await_account(machine: Machine) -> None:
    """Wait for the ServiceAccount, which the controller manager creates some moments after the namespace."""
    deadline = time.monotonic() + _SECONDS
    while not machine.ops.list("/api/v1/namespaces/default/serviceaccounts"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


_NODE = """
import sys, time
from pathlib import Path
from deployments.sandbox.node import network
from deployments.sandbox.node.container_runtime import ContainerRuntime
from deployments.sandbox.node.namespaces import Namespaces
with Namespaces(Path(sys.argv[1]) / "node") as namespaces:
    found = network.free()
    found.connect(namespaces)
    ContainerRuntime(namespaces, found).start()
    print(found.link, namespaces.pid, flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_node_survives(tmp_path: Path, machine: Machine, number: signal.Signals) -> None:
    """However its program ends, the kernel removes the node's processes, mounts and link."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _NODE, tmp_path], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    link, pid = process.stdout.readline().split()
    assert link in _links()
    os.kill(process.pid, number)
    process.wait()
    deadline = time.monotonic() + _SECONDS
    while link in _links() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def _links() -> set[str]:
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    return {link["ifname"] for link in json.loads(shown.stdout)}
