"""Runs a kubeconfig's exec plugin, as clouds want it: with a time limit; its output is never shown.

The protocol is Kubernetes' client.authentication.k8s.io (v1, v1beta1).
"""

import json
import os
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SECONDS = 30.0
MARGIN = timedelta(minutes=6)
"""A credential that ends sooner is not used again: a cluster may take five minutes."""
MOST_BYTES = 1024 * 1024
"""Of an ExecCredential; a certificate and a key have some thousands."""
PAUSE = 0.05
APIS = frozenset({"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"})


class ExecError(Exception):
    """The plugin gave no credential; the text says how it failed, in our words."""


@dataclass(frozen=True, repr=False)
class Credential:
    token: str = ""
    certificate: str = ""
    key: str = ""
    ends: datetime | None = None


_lock = threading.Lock()
_given: dict[str, Credential] = {}
"""By what was asked for: tasks of one run, and both of OPS's, share a credential while it is good."""


def run_plugin(spec: dict[str, Any], server: dict[str, Any]) -> Credential:
    """The credential that the plugin gives for a cluster; ExecError where it gives none."""
    asked = repr([spec, server])
    with _lock:
        known = _given.get(asked)
    if known and known.ends and known.ends - datetime.now(UTC) > MARGIN:
        return known
    given = _parse(_output(_command(spec), _environment(spec, server)))
    with _lock:
        _given[asked] = given
    return given


def _command(spec: dict[str, Any]) -> list[str]:
    command, arguments = spec.get("command"), spec.get("args") or []
    fit = isinstance(arguments, list) and all(isinstance(one, str) for one in arguments)
    if not isinstance(command, str) or not command or not fit:
        raise ExecError("`exec` must have a command, and its args must be a list of texts")
    if "/" in command and not Path(command).is_absolute():
        raise ExecError("the command of `exec` must be a name in PATH or an absolute path")
    return [command, *arguments]


def _environment(spec: dict[str, Any], server: dict[str, Any]) -> dict[str, str]:
    if str(spec.get("apiVersion")) not in APIS:
        raise ExecError("apiVersion of `exec` must be client.authentication.k8s.io/v1 or v1beta1")
    asked: dict[str, Any] = {"interactive": False}
    if spec.get("provideClusterInfo") is True:
        names = ("server", "tls-server-name", "certificate-authority-data")
        asked["cluster"] = {name: server[name] for name in names if name in server}
    info = {"apiVersion": spec["apiVersion"], "kind": "ExecCredential", "spec": asked}
    extra = spec.get("env") or []
    try:
        own = {str(one["name"]): str(one["value"]) for one in extra}
    except (KeyError, TypeError):
        raise ExecError("env of `exec` must be a list of name and value") from None
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _output(command: list[str], environment: dict[str, str]) -> bytes:
    try:
        process = subprocess.Popen(  # noqa: S603  the configuration allows it for this cluster
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        raise ExecError("the command of `exec` can't be run; is it in the image?") from None
    deadline = time.monotonic() + SECONDS
    with process:
        try:
            output = _said(process, deadline)
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ExecError(f"the exec plugin took longer than {SECONDS:g} s") from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with what it started
    if process.returncode:
        raise ExecError(f"the exec plugin ended with status {process.returncode}")
    return output


def _said(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """All that it says until it ends: what it leaves behind may hold its output for as long as it likes."""
    said, pipe = bytearray(), process.stdout
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            has_ended = process.poll() is not None
            if selector.select(0 if has_ended else PAUSE):
                part = os.read(pipe.fileno(), MOST_BYTES)
                said += part
                if len(said) > MOST_BYTES:
                    raise ExecError(f"the exec plugin said more than {MOST_BYTES} bytes")
                if not part:
                    return bytes(said)
            elif has_ended:
                return bytes(said)
    raise subprocess.TimeoutExpired("exec", SECONDS)


def _parse(output: bytes) -> Credential:
    try:
        document = json.loads(output)
        status = document["status"] if document["kind"] == "ExecCredential" else {}
        texts = [status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")]
        moment = status.get("expirationTimestamp")
        ends = datetime.fromisoformat(moment) if moment else None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise ExecError("the exec plugin's output is not an ExecCredential") from None
    if not all(isinstance(text, str) and text.isascii() for text in texts) or (ends and ends.tzinfo is None):
        raise ExecError("the exec plugin's output is not an ExecCredential")
    if not texts[0].strip() and not (texts[1] and texts[2]):
        raise ExecError("the exec plugin gave no credential; a request without one would be anonymous")
    return Credential(texts[0].strip(), texts[1], texts[2], ends)
