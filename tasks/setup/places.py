"""Reads and writes the combined kubeconfig: in a Secret on OPS, or in a file.

It is read first: entries that can't be renewed now stay.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any, Protocol

import yaml

from tasks.kubeconfig.reader import MAX_BYTES
from tasks.runtime.files import FileError, FileMissing, read_file
from tasks.runtime.yaml_file import YamlError, parse_yaml
from tasks.setup.document import Document
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl

KEY = "config"

_MANAGER = "tls-sync-kubeconfig"
_LABELS = {"app.kubernetes.io/managed-by": _MANAGER, "app.kubernetes.io/part-of": "tls-sync"}


class Place(Protocol):
    def read(self) -> Any:
        """Return the former kubeconfig, or None."""

    def put(self, document: Document) -> None: ...

    @property
    def exists(self) -> bool:
        """Whether there was one when it was read."""

    @property
    def location(self) -> str:
        """The cluster that it is on, for a sentence; empty on this machine."""


class InSecret:
    """A Secret. One that this command did not create is replaced only with --replace."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str, *, replace: bool) -> None:
        self._kubectl, self._namespace, self._name, self._replace = kubectl, namespace, name, replace
        self._version: dict[str, str] = {}

    def __str__(self) -> str:
        return f"Secret {self._namespace}/{self._name} (key {KEY})"

    @property
    def exists(self) -> bool:
        return bool(self._version)

    @property
    def location(self) -> str:
        return f" on OPS (context {self._kubectl.context})"

    def read(self) -> Any:
        arguments = (
            "get",
            "secret",
            self._name,
            f"--namespace={self._namespace}",
            "--ignore-not-found",
            "--output=json",
        )
        answer = self._kubectl.run(*arguments)
        if not answer:
            return None
        try:
            secret = json.loads(answer)
            metadata = secret["metadata"]
            labels, self._version = metadata.get("labels") or {}, _identity(metadata)
            content = base64.b64decode((secret.get("data") or {}).get(KEY, ""), validate=True)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SetupError(
                f"{self} can't be read from kubectl's output; look at it with kubectl get"
            ) from None
        if labels.get("app.kubernetes.io/managed-by") != _MANAGER and not self._replace:
            raise SetupError(
                f"{self} exists, and this command did not create it: choose another (--namespace, --secret), "
                "or set --replace; contexts that the configuration does not name are then removed"
            )
        return _parsed(content, str(self))

    def put(self, document: Document) -> None:
        """Apply it server-side, from stdin: no annotation last-applied-configuration gets another copy."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._name, "labels": _LABELS, **self._version},
            "type": "Opaque",
            "data": {KEY: base64.b64encode(_dumped(document)).decode("ascii")},
        }
        options = [f"--namespace={self._namespace}", f"--field-manager={_MANAGER}", "--filename=-"]
        options += ["--force-conflicts"] if self._replace else []
        self._kubectl.run("apply", "--server-side", *options, stdin=json.dumps(manifest).encode())


class InFile:
    """A file that only its owner can read, complete or absent."""

    location = ""

    def __init__(self, path: Path) -> None:
        self._path, self.exists = path, False

    def __str__(self) -> str:
        return f"file {self._path}"

    def read(self) -> Any:
        """Read the file. Raises SetupError where it can't be written: before any token is created."""
        self.exists = self._path.exists()
        if not (self._path.parent.is_dir() and os.access(self._path.parent, os.W_OK | os.X_OK)):
            raise SetupError(
                f"{self} can't be written: {self._path.parent} is not a folder that you may write to; "
                "correct --file"
            )
        try:
            return _parsed(read_file(self._path, MAX_BYTES), str(self))
        except FileMissing:
            return None
        except FileError as error:
            raise SetupError(f"{self}: {error}") from None

    def put(self, document: Document) -> None:
        partial = self._path.with_name(f".{self._path.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_dumped(document))
            partial.replace(self._path)
        except OSError as error:
            raise SetupError(f"{self} can't be written ({error.strerror}); check path and rights") from None


def _identity(metadata: dict[str, Any]) -> dict[str, str]:
    """Return uid and resourceVersion, with which an apply changes only the version that was read."""
    return {key: str(metadata[key]) for key in ("uid", "resourceVersion")}


def _dumped(document: Document) -> bytes:
    return yaml.safe_dump(document, sort_keys=False).encode()


def _parsed(content: bytes, where: str) -> Any:
    try:
        return parse_yaml(content)
    except YamlError as error:
        raise SetupError(f"the kubeconfig in {where}: {error}") from None
