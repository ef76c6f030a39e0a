"""Exec plugins, run as real programs."""

import json
import os
import signal
import stat
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.kubeconfig import exec_plugin
from tasks.kubeconfig.exec_plugin import ExecError, run_plugin

API = "client.authentication.k8s.io/v1"
SERVER = {"server": "https://dev.example.org", "certificate-authority-data": "Q0E=", "extensions": ["x"]}


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin, "_cache", {})


def plugin(directory: Path, body: str, **spec: Any) -> dict[str, Any]:
    """Write a plugin in Python. The file `runs` beside it has one byte for each time it ran."""
    file = directory / "plugin"
    count = f"open({str(directory / 'runs')!r}, 'a').write('x')"
    file.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{count}\n{body}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": API, "command": str(file), **spec}


def credential(**status: Any) -> str:
    return f"print({json.dumps(json.dumps({'kind': 'ExecCredential', 'apiVersion': API, 'status': status}))})"


def runs(directory: Path) -> int:
    return len((directory / "runs").read_text())


def test_a_plugin_returns_a_token(tmp_path: Path) -> None:
    """The token is read from its output, without white space around it."""
    assert run_plugin(plugin(tmp_path, credential(token="t1\n")), SERVER).token == "t1"


def test_a_plugin_returns_a_client_certificate(tmp_path: Path) -> None:
    """A certificate with its key is a credential, too."""
    given = run_plugin(plugin(tmp_path, credential(clientCertificateData="C", clientKeyData="K")), SERVER)
    assert (given.token, given.certificate, given.key) == ("", "C", "K")


def test_a_plugin_gets_what_the_protocol_specifies(tmp_path: Path) -> None:
    """It gets its arguments, its environment, `interactive: false` and the public part of the cluster."""
    body = """
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
received = json.dumps([sys.argv[1:], os.environ["REGION"], info["spec"]], sort_keys=True)
print(json.dumps({"kind": "ExecCredential", "status": {"token": received}}))
"""
    spec = plugin(
        tmp_path, body, args=["get"], env=[{"name": "REGION", "value": "x"}], provideClusterInfo=True
    )
    cluster = {"certificate-authority-data": "Q0E=", "server": "https://dev.example.org"}
    assert json.loads(run_plugin(spec, SERVER).token) == [
        ["get"],
        "x",
        {"cluster": cluster, "interactive": False},
    ]


@pytest.mark.parametrize(("left", "times"), [(timedelta(hours=1), 1), (timedelta(minutes=5), 2)])
def test_a_credential_is_reused_while_it_is_valid(tmp_path: Path, left: timedelta, times: int) -> None:
    """All tasks share a credential with enough time left; one that expires soon is requested again."""
    expires_at = (datetime.now(UTC) + left).isoformat()
    spec = plugin(tmp_path, credential(token="t", expirationTimestamp=expires_at))
    for _ in range(2):
        run_plugin(spec, SERVER)
    assert runs(tmp_path) == times


BROKEN = {
    "fails": ("sys.exit(3)", "ended with exit status 3"),
    "prints nothing": ("", "not an ExecCredential"),
    "prints no JSON": ("print('canary')", "not an ExecCredential"),
    "prints another kind": ('print(\'{"kind": "Status"}\')', "no credential"),
    "prints null": ("print('null')", "not an ExecCredential"),
    "returns no credential": (credential(), "no credential"),
    "returns an empty token": (credential(token=" "), "no credential"),
    "returns a number as token": (credential(token=5), "not an ExecCredential"),
    "returns a token that fits no header": (credential(token="\ud800"), "not an ExecCredential"),
    "returns a certificate without a key": (credential(clientCertificateData="C"), "no credential"),
    "returns an expiry without a time zone": (
        credential(token="t", expirationTimestamp="2030-01-01T00:00:00"),
        "not an ExecCredential",
    ),
}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_a_plugin_without_a_credential_is_an_error(tmp_path: Path, body: str, message: str) -> None:
    """Whatever a plugin does wrong is an ExecError that quotes nothing of its output."""
    with pytest.raises(ExecError, match=message) as caught:
        run_plugin(plugin(tmp_path, f"print('canary', file=sys.stderr)\n{body}"), SERVER)
    assert "canary" not in str(caught.value)


def test_a_plugin_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit holds even if a child of the plugin keeps the output open."""
    monkeypatch.setattr(exec_plugin, "TIMEOUT_SECONDS", 1.0)
    body = f"""
if not os.fork():
    open({str(tmp_path / "child")!r}, "w").write(str(os.getpid()))
time.sleep(300)
"""
    with pytest.raises(ExecError, match="took longer than 1 s"):
        run_plugin(plugin(tmp_path, body), SERVER)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the plugin's child still runs")


CHILD = """
import subprocess
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
open({!r}, "w").write(str(child.pid))
"""


def kill_child(path: Path) -> None:
    """Kill the child that outlived the plugin."""
    os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_child_that_keeps_the_output_open_delays_nothing(tmp_path: Path) -> None:
    """The credential is returned once the plugin itself has ended."""
    path = tmp_path / "child"
    assert run_plugin(plugin(tmp_path, CHILD.format(str(path)) + credential(token="t")), SERVER).token == "t"
    kill_child(path)


def test_a_plugin_that_hangs_with_a_child_in_another_session_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is not killed with the plugin does not delay the run."""
    monkeypatch.setattr(exec_plugin, "TIMEOUT_SECONDS", 1.0)
    path = tmp_path / "child"
    with pytest.raises(ExecError, match="took longer than 1 s"):
        run_plugin(plugin(tmp_path, f"{CHILD.format(str(path))}time.sleep(300)"), SERVER)
    kill_child(path)


def test_endless_output_is_cut_off(tmp_path: Path) -> None:
    """A plugin that prints more than a credential can need is an error."""
    with pytest.raises(ExecError, match="printed more than 1048576 bytes"):
        run_plugin(plugin(tmp_path, "while True: print('canary' * 1000)"), SERVER)


def test_a_plugin_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    """Its exit status counts, and is known only once it ends."""
    body = f"{credential(token='t')}\nsys.stdout.flush()\nos.close(1)\ntime.sleep(0.5)\nos._exit(3)"
    with pytest.raises(ExecError, match="ended with exit status 3"):
        run_plugin(plugin(tmp_path, body), SERVER)


@pytest.mark.parametrize(
    "spec",
    [
        {"command": "x"},
        {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"},
        {"apiVersion": API},
        {"apiVersion": API, "command": ""},
        {"apiVersion": API, "command": "../x"},
        {"apiVersion": API, "command": "/no/such/program"},
        {"apiVersion": API, "command": "x\0y"},
        {"apiVersion": API, "command": "true", "args": [1]},
        {"apiVersion": API, "command": "true", "args": 5},
        {"apiVersion": API, "command": "true", "args": "abc"},
        {"apiVersion": API, "command": "true", "args": {"a": "b"}},
        {"apiVersion": [API], "command": "true"},
        {"apiVersion": API, "command": "true", "installHint": {1: "a", "b": "c"}},
        {"apiVersion": API, "command": "true", "env": [{"name": "X"}]},
        {"apiVersion": API, "command": "true", "env": "X"},
    ],
)
def test_an_invalid_exec_section_is_an_error(spec: dict[str, Any]) -> None:
    """A mistake in the kubeconfig is an ExecError, too."""
    with pytest.raises(ExecError):
        run_plugin(spec, SERVER)


def test_a_credential_is_never_printed(tmp_path: Path) -> None:
    """Neither its repr nor its text contains the token."""
    given = run_plugin(plugin(tmp_path, credential(token="canary")), SERVER)
    assert "canary" not in f"{given!r} {given}"
