"""Where the combined kubeconfig lies: in a Secret on OPS, or in a file.

It is read first: what can't be renewed now keeps what it had.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any, Protocol

import yaml

from deployments.target.document import Document
from deployments.target.errors import TargetError
from deployments.target.kubectl import Kubectl
from tasks.kubeconfig.reader import MAX_BYTES
from tasks.runtime.files import FileError, FileMissing, read_file
from tasks.runtime.yaml_file import YamlError, parse_yaml

KEY = "config"

_MANAGER = "tls-sync-kubeconfig"
_LABELS = {"app.kubernetes.io/managed-by": _MANAGER, "app.kubernetes.io/part-of": "tls-sync"}


class Place(Protocol):
    def read(self) -> Any:
        """The former kubeconfig; None where there is none."""

    def put(self, document: Document) -> None: ...

    @property
    def is_there(self) -> bool:
        """Whether there was one when it was read."""

    @property
    def whose(self) -> str:
        """On which cluster it is, for a sentence; empty where it is on this machine."""


class InSecret:
    """One that this command did not make is replaced only where the operator says so."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str, *, replace: bool) -> None:
        self._kubectl, self._namespace, self._name, self._replace = kubectl, namespace, name, replace
        self._version: dict[str, str] = {}

    def __str__(self) -> str:
        return f"Secret {self._namespace}/{self._name} (key {KEY})"

    @property
    def is_there(self) -> bool:
        return bool(self._version)

    @property
    def whose(self) -> str:
        return f" on OPS (context {self._kubectl.context})"

    def read(self) -> Any:
        asked = (
            "get",
            "secret",
            self._name,
            f"--namespace={self._namespace}",
            "--ignore-not-found",
            "--output=json",
        )
        answer = self._kubectl.run(*asked)
        if not answer:
            return None
        try:
            secret = json.loads(answer)
            metadata = secret["metadata"]
            labels, self._version = metadata.get("labels") or {}, _identity(metadata)
            content = base64.b64decode((secret.get("data") or {}).get(KEY, ""), validate=True)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise TargetError(f"{self} is not what kubectl shows of a Secret; look at it") from None
        if labels.get("app.kubernetes.io/managed-by") != _MANAGER and not self._replace:
            raise TargetError(
                f"{self} exists, and this command did not make it: choose another (--namespace, --secret), "
                "or say --replace; contexts that the configuration doesn't name are then gone from it"
            )
        return _parsed(content, str(self))

    def put(self, document: Document) -> None:
        """By stdin and server-side: an annotation last-applied-configuration would hold it once more."""
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
    """Readable by its owner alone, complete or not there."""

    whose = ""

    def __init__(self, path: Path) -> None:
        self._path, self.is_there = path, False

    def __str__(self) -> str:
        return f"file {self._path}"

    def read(self) -> Any:
        """Also looks whether it can be written: once tokens are made, it is late for that."""
        self.is_there = self._path.exists()
        if not (self._path.parent.is_dir() and os.access(self._path.parent, os.W_OK | os.X_OK)):
            raise TargetError(
                f"{self} can't be written: {self._path.parent} is no folder that you may write to; "
                "correct --output"
            )
        try:
            return _parsed(read_file(self._path, MAX_BYTES), str(self))
        except FileMissing:
            return None
        except FileError as error:
            raise TargetError(f"{self}: {error}") from None

    def put(self, document: Document) -> None:
        partial = self._path.with_name(f".{self._path.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_dumped(document))
            partial.replace(self._path)
        except OSError as error:
            raise TargetError(f"{self} can't be written ({error.strerror}); check path and rights") from None


def _identity(metadata: dict[str, Any]) -> dict[str, str]:
    """An apply that carries these changes what was read, and nothing that came after."""
    return {key: str(metadata[key]) for key in ("uid", "resourceVersion")}


def _dumped(document: Document) -> bytes:
    return yaml.safe_dump(document, sort_keys=False).encode()


def _parsed(content: bytes, where: str) -> Any:
    try:
        return parse_yaml(content)
    except YamlError as error:
        raise TargetError(f"the kubeconfig in {where}: {error}") from None
