"""Checks values of one kubeconfig context, with errors that name the context. Pure."""

import base64
from typing import Any, NoReturn

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure

FLATTEN = "write it with `kubectl config view --raw --flatten`"


class Context:
    """One context of a kubeconfig, as read for one cluster."""

    def __init__(self, cluster: str, name: str, where: str = "") -> None:
        """`where` says where the kubeconfig is, unless it is the one of KUBECONFIG."""
        self._cluster, self.name, self._where = cluster, name, where

    def refuse(self, detail: str, code: FailureCode = FailureCode.KUBECONFIG) -> NoReturn:
        operation = f"read {self._where}" if self._where else f"read context {self.name}"
        transient = code is FailureCode.EXEC_FAILED
        raise ClusterError(
            Failure(code=code, cluster=self._cluster, what=operation, detail=detail, transient=transient)
        ) from None

    def require_known_keys(self, mapping: dict[str, Any], keys: frozenset[str], section: str) -> None:
        for key in sorted(set(mapping) - keys, key=str):
            if key in ("certificate-authority", "client-certificate", "client-key"):
                self.refuse(f"`{key}` names a file; {FLATTEN}")
            self.refuse(f"`{key}` of the {section} is not supported; use a ServiceAccount's bound token")

    def decode(self, mapping: dict[str, Any], key: str) -> str:
        try:
            text = base64.b64decode(mapping[key], validate=True).decode("ascii")
        except (KeyError, TypeError, ValueError):
            text = ""
        if not text.strip():  # an empty CA would mean the system's CAs
            self.refuse(f"`{key}` is missing, empty or not base64; {FLATTEN}")
        return text
