"""The node itself: what the tests of the chart rest on."""

import time

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
    """Made by the controller manager some moments after the namespace."""
    deadline = time.monotonic() + _SECONDS
    while not machine.ops.list("/api/v1/namespaces/default/serviceaccounts"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
