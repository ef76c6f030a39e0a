"""Runs the exec plugin of a kubeconfig, which clouds use, with a time limit. Its output is never shown.

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

TIMEOUT_SECONDS = 30.0
MIN_VALIDITY = timedelta(minutes=6)
"""A credential that expires sooner is not reused: the work on a cluster may take five minutes."""
MAX_OUTPUT_BYTES = 1024 * 1024
"""Maximum size of an ExecCredential. A certificate and a key take a few thousand bytes."""
POLL_SECONDS = 0.05
APIS = frozenset({"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"})


class ExecError(Exception):
    """The plugin returned no credential. The text says why and quotes nothing of its output."""


@dataclass(frozen=True, repr=False)
class Credential:
    token: str = ""
    certificate: str = ""
    key: str = ""
    expires_at: datetime | None = None


_lock = threading.Lock()
_cache: dict[str, Credential] = {}
"""By the configuration of plugin and server: tasks of a process share a credential while it is valid."""


def run_plugin(spec: dict[str, Any], server: dict[str, Any]) -> Credential:
    """Return the plugin's credential for a cluster. Raises ExecError if there is none."""
    key = repr([spec, server])
    with _lock:
        cached = _cache.get(key)
    if cached and cached.expires_at and cached.expires_at - datetime.now(UTC) > MIN_VALIDITY:
        return cached
    credential = _parse(_run(_command(spec), _environment(spec, server)))
    with _lock:
        _cache[key] = credential
    return credential


def _command(spec: dict[str, Any]) -> list[str]:
    command, arguments = spec.get("command"), spec.get("args") or []
    valid = isinstance(arguments, list) and all(isinstance(one, str) for one in arguments)
    if not isinstance(command, str) or not command or not valid:
        raise ExecError("`exec` must have a command, and its args must be a list of texts")
    if "/" in command and not Path(command).is_absolute():
        raise ExecError("the command of `exec` must be a name in PATH or an absolute path")
    return [command, *arguments]


def _environment(spec: dict[str, Any], server: dict[str, Any]) -> dict[str, str]:
    if str(spec.get("apiVersion")) not in APIS:
        raise ExecError("apiVersion of `exec` must be client.authentication.k8s.io/v1 or v1beta1")
    info_spec: dict[str, Any] = {"interactive": False}
    if spec.get("provideClusterInfo") is True:
        names = ("server", "tls-server-name", "certificate-authority-data")
        info_spec["cluster"] = {name: server[name] for name in names if name in server}
    info = {"apiVersion": spec["apiVersion"], "kind": "ExecCredential", "spec": info_spec}
    try:
        extra = {str(one["name"]): str(one["value"]) for one in spec.get("env") or []}
    except (KeyError, TypeError):
        raise ExecError("env of `exec` must be a list of name and value") from None
    return {**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _run(command: list[str], environment: dict[str, str]) -> bytes:
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
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with process:
        try:
            output = _read_output(process, deadline)
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ExecError(f"the exec plugin took longer than {TIMEOUT_SECONDS:g} s") from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and its child processes
    if process.returncode:
        raise ExecError(f"the exec plugin ended with exit status {process.returncode}")
    return output


def _read_output(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return the output until the process ends: a child that it leaves behind may keep the pipe open."""
    output, pipe = bytearray(), process.stdout
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            has_ended = process.poll() is not None
            if selector.select(0 if has_ended else POLL_SECONDS):
                part = os.read(pipe.fileno(), MAX_OUTPUT_BYTES)
                output += part
                if len(output) > MAX_OUTPUT_BYTES:
                    raise ExecError(f"the exec plugin printed more than {MAX_OUTPUT_BYTES} bytes")
                if not part:
                    return bytes(output)
            elif has_ended:
                return bytes(output)
    raise subprocess.TimeoutExpired("exec", TIMEOUT_SECONDS)


def _parse(output: bytes) -> Credential:
    try:
        document = json.loads(output)
        status = document["status"] if document["kind"] == "ExecCredential" else {}
        texts = [status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")]
        timestamp = status.get("expirationTimestamp")
        expires_at = datetime.fromisoformat(timestamp) if timestamp else None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise ExecError("the exec plugin's output is not an ExecCredential") from None
    are_ascii = all(isinstance(text, str) and text.isascii() for text in texts)
    if not are_ascii or (expires_at and expires_at.tzinfo is None):
        raise ExecError("the exec plugin's output is not an ExecCredential")
    if not texts[0].strip() and not (texts[1] and texts[2]):
        raise ExecError("the exec plugin returned no credential; a request without one would be anonymous")
    return Credential(texts[0].strip(), texts[1], texts[2], expires_at)
