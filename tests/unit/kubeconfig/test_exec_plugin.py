"""Exec plugins, as programs that are really run."""

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
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin, "_given", {})


def plugin(directory: Path, body: str, **spec: Any) -> dict[str, Any]:
    """A plugin that is a Python program; `runs` beside it counts how often it ran."""
    file = directory / "plugin"
    count = f"open({str(directory / 'runs')!r}, 'a').write('x')"
    file.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{count}\n{body}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": API, "command": str(file), **spec}


def answer(**status: Any) -> str:
    return f"print({json.dumps(json.dumps({'kind': 'ExecCredential', 'apiVersion': API, 'status': status}))})"


def runs(directory: Path) -> int:
    return len((directory / "runs").read_text())


def test_a_plugin_gives_a_token(tmp_path: Path) -> None:
    """The token comes from its output, stripped."""
    assert run_plugin(plugin(tmp_path, answer(token="t1\n")), SERVER).token == "t1"


def test_a_plugin_gives_a_client_certificate(tmp_path: Path) -> None:
    """A certificate and its key are a credential, too."""
    given = run_plugin(plugin(tmp_path, answer(clientCertificateData="C", clientKeyData="K")), SERVER)
    assert (given.token, given.certificate, given.key) == ("", "C", "K")


def test_a_plugin_is_told_what_the_protocol_says(tmp_path: Path) -> None:
    """Its arguments, its environment, that nobody can be asked, and of the cluster what it may know."""
    body = """
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
told = json.dumps([sys.argv[1:], os.environ["REGION"], info["spec"]], sort_keys=True)
print(json.dumps({"kind": "ExecCredential", "status": {"token": told}}))
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
def test_a_credential_is_used_again_while_it_is_good(tmp_path: Path, left: timedelta, times: int) -> None:
    """One with enough time left is shared by all tasks; one that ends soon is asked for anew."""
    ends = (datetime.now(UTC) + left).isoformat()
    spec = plugin(tmp_path, answer(token="t", expirationTimestamp=ends))
    for _ in range(2):
        run_plugin(spec, SERVER)
    assert runs(tmp_path) == times


BROKEN = {
    "fails": ("sys.exit(3)", "ended with status 3"),
    "says nothing": ("", "not an ExecCredential"),
    "says no JSON": ("print('canary')", "not an ExecCredential"),
    "says something else": ('print(\'{"kind": "Status"}\')', "no credential"),
    "says null": ("print('null')", "not an ExecCredential"),
    "gives no credential": (answer(), "no credential"),
    "gives an empty token": (answer(token=" "), "no credential"),
    "gives a token that is a number": (answer(token=5), "not an ExecCredential"),
    "gives a token that is no text for a header": (answer(token="\ud800"), "not an ExecCredential"),
    "gives a certificate without a key": (answer(clientCertificateData="C"), "no credential"),
    "gives an end without a zone": (
        answer(token="t", expirationTimestamp="2030-01-01T00:00:00"),
        "not an ExecCredential",
    ),
}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_a_plugin_that_gives_no_credential_is_an_error(tmp_path: Path, body: str, message: str) -> None:
    """Whatever a plugin does wrong is an ExecError in our words; nothing of its output is quoted."""
    with pytest.raises(ExecError, match=message) as caught:
        run_plugin(plugin(tmp_path, f"print('canary', file=sys.stderr)\n{body}"), SERVER)
    assert "canary" not in str(caught.value)


def test_a_plugin_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit holds, also where a child of the plugin keeps the output open."""
    monkeypatch.setattr(exec_plugin, "SECONDS", 1.0)
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
    pytest.fail("the plugin's child is still there")


CHILD = """
import subprocess
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
open({!r}, "w").write(str(child.pid))
"""


def end_child(path: Path) -> None:
    """It outlived the plugin, so nobody waited for it."""
    os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_plugin_is_not_waited_for_longer_than_it_lives(tmp_path: Path) -> None:
    """A child that holds its output goes on; the credential is there all the same."""
    path = tmp_path / "child"
    assert run_plugin(plugin(tmp_path, CHILD.format(str(path)) + answer(token="t")), SERVER).token == "t"
    end_child(path)


def test_a_plugin_that_hangs_with_a_child_in_another_session_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a child must not hold up the run."""
    monkeypatch.setattr(exec_plugin, "SECONDS", 1.0)
    path = tmp_path / "child"
    with pytest.raises(ExecError, match="took longer than 1 s"):
        run_plugin(plugin(tmp_path, f"{CHILD.format(str(path))}time.sleep(300)"), SERVER)
    end_child(path)


def test_a_plugin_without_an_end_to_what_it_says_is_cut_off(tmp_path: Path) -> None:
    """It would take all memory."""
    with pytest.raises(ExecError, match="said more than 1048576 bytes"):
        run_plugin(plugin(tmp_path, "while True: print('canary' * 1000)"), SERVER)


def test_a_plugin_that_closes_its_output_has_time_to_end(tmp_path: Path) -> None:
    """Its exit status is known only then."""
    body = f"{answer(token='t')}\nsys.stdout.flush()\nos.close(1)\ntime.sleep(0.5)\nos._exit(3)"
    with pytest.raises(ExecError, match="ended with status 3"):
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
def test_a_plugin_that_is_badly_described_is_an_error(spec: dict[str, Any]) -> None:
    """What the kubeconfig says wrong is an ExecError, too."""
    with pytest.raises(ExecError):
        run_plugin(spec, SERVER)


def test_a_credential_shows_nothing_of_itself(tmp_path: Path) -> None:
    """Not even by accident, in a message or a log."""
    given = run_plugin(plugin(tmp_path, answer(token="canary")), SERVER)
    assert "canary" not in f"{given!r} {given}"
