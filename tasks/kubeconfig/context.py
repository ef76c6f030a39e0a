"""What each part of the kubeconfig reader needs: errors that name the context, strict values. Pure."""

import base64
from typing import Any, NoReturn

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure

FLATTEN = "write it with `kubectl config view --raw --flatten`"


class Context:
    """One context of a kubeconfig, while it is read for one cluster."""

    def __init__(self, cluster: str, name: str) -> None:
        self._cluster, self.name = cluster, name

    def refuse(self, detail: str, code: FailureCode = FailureCode.KUBECONFIG) -> NoReturn:
        what, transient = f"read context {self.name}", code is FailureCode.EXEC_FAILED
        raise ClusterError(
            Failure(code=code, cluster=self._cluster, what=what, detail=detail, transient=transient)
        ) from None

    def known(self, mapping: dict[str, Any], keys: frozenset[str], section: str) -> None:
        for key in sorted(set(mapping) - keys, key=str):
            if key in ("certificate-authority", "client-certificate", "client-key"):
                self.refuse(f"`{key}` names a file; {FLATTEN}")
            self.refuse(f"`{key}` of the {section} is not supported; use a ServiceAccount's bound token")

    def decoded(self, mapping: dict[str, Any], key: str) -> str:
        try:
            text = base64.b64decode(mapping[key], validate=True).decode("ascii")
        except (KeyError, TypeError, ValueError):
            text = ""
        if not text.strip():  # an empty CA would mean all those that the system trusts
            self.refuse(f"`{key}` is missing, empty or not base64; {FLATTEN}")
        return text
