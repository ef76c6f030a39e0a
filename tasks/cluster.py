"""The only module that talks to a Kubernetes API.

Raw requests, JSON in and out: the client's model classes alone would cost 90 MiB and 2 s. No name
reaches a URL unchecked, no redirect is followed, nothing is retried here, and an answer counts only if it
is about the object that was asked for. Whatever goes wrong leaves as a ClusterError without a word of the
server's.
"""

import json
import re
import ssl
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from kubernetes.client.api_client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
)

from tasks.answers import Problem, is_about, parse_answer
from tasks.errors import ClusterError
from tasks.models import Failure, SecretRef, TargetSecret
from tasks.names import is_name, is_namespace
from tasks.ownership import FIELD_MANAGER, SECRET_TYPE, parse_target_secrets
from tasks.reasons import Code

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
PAGE_BYTES = 64 * 1024 * 1024
LIST_BYTES = 4 * PAGE_BYTES
OBJECT_BYTES = 2 * 1024 * 1024
METADATA_PAGE = 500
UID = re.compile(r"[0-9a-f-]{36}")
DATA_PAGE = 100
"""Secrets with data per page: bounds the memory of a run however many certificates there are."""

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class ClusterClient:
    """One cluster for the length of one task. Usable from several threads."""

    def __init__(self, cluster: str, api: ApiClient, deadline: float) -> None:
        """`deadline` is a moment of time.monotonic(), after which every call fails."""
        self._cluster, self._api, self.deadline = cluster, api, deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._api.close()  # type: ignore[no-untyped-call]  # library

    def cluster_id(self) -> str:
        """The uid of namespace kube-system, which identifies a cluster for its whole life."""
        what = "get namespace kube-system"
        _, answer, _ = self._call("GET", "/api/v1/namespaces/kube-system", what, accept=METADATA)
        self._expect(what, answer, kind="PartialObjectMetadata", name="kube-system")
        uid = answer["metadata"].get("uid")
        if not isinstance(uid, str) or not UID.fullmatch(uid):
            raise self._error(Code.PROTOCOL, what, detail="no uid in the answer")
        return uid

    def target_secrets(self, namespace: str) -> list[TargetSecret]:
        """All Secrets of a namespace, of any type and owner, without their data."""
        path, what = self._secrets_path(namespace), f"list secrets in {namespace}"
        pages = self._pages(path, what, kind="Table", accept=TABLE, limit=METADATA_PAGE)
        try:
            found = [secret for page in pages for secret in parse_target_secrets(page)]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise self._error(Code.PROTOCOL, what, detail="not a table of Secrets") from None
        if any(secret.ref.namespace != namespace for secret in found):
            raise self._error(Code.PROTOCOL, what, detail="Secrets of another namespace")
        return found

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        """Pages of all kubernetes.io/tls Secrets with their data, cert-manager's staged keys left out."""
        labels = [f"{key}={value}" for key, value in sorted(selector.items())]
        labels.append("!cert-manager.io/next-private-key")
        query = {"labelSelector": ",".join(labels), "fieldSelector": f"type={SECRET_TYPE}"}
        path, what = self._secrets_path(namespace), f"list secrets in {namespace}"
        for page in self._pages(path, what, kind="SecretList", limit=DATA_PAGE, query=query):
            yield page.get("items") or []

    def tls_secret(self, ref: SecretRef) -> dict[str, Any]:
        """One Secret with its data."""
        what = f"get secret {ref}"
        _, answer, _ = self._call("GET", self._secret_path(ref), what)
        self._expect(what, answer, kind="Secret", name=ref.name, namespace=ref.namespace)
        return answer

    def certificates(self, namespace: str) -> Iterator[list[dict[str, Any]]]:
        """Pages of cert-manager's Certificate objects; NotFound where the cluster does not know them."""
        self._require(is_namespace(namespace), "a namespace")
        path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates"
        what = f"list certificates.cert-manager.io in {namespace}"
        for page in self._pages(path, what, kind="CertificateList", limit=METADATA_PAGE):
            yield page.get("items") or []

    def apply(self, ref: SecretRef, body: dict[str, Any], *, uid: str | None) -> str:
        """Server-side apply; returns the new resourceVersion.

        Without a uid it creates: never forced, and 200 instead of 201 is TakenMeanwhile. With one it updates
        that very object, and its body must carry uid and resourceVersion, which make it a compare-and-swap.
        """
        what = f"apply secret {ref}"
        query = {"fieldManager": FIELD_MANAGER, "force": str(uid is not None).lower()}
        content = json.dumps(body, separators=(",", ":")).encode()
        status, answer, _ = self._call(
            "PATCH", self._secret_path(ref), what, accept=METADATA, query=query, body=content
        )
        self._expect(what, answer, kind="PartialObjectMetadata", name=ref.name, namespace=ref.namespace)
        if uid is None and status != 201:
            self._release(ref, answer["metadata"])
            raise self._error(Code.TAKEN_MEANWHILE, what)
        if uid is not None and answer["metadata"].get("uid") != uid:
            raise self._error(Code.PROTOCOL, what, detail="the answer has another uid")
        return str(answer["metadata"].get("resourceVersion"))

    def _release(self, ref: SecretRef, metadata: dict[str, Any]) -> None:
        """Let go of a foreign Secret that a create fell upon: an empty apply takes off what only we own."""
        kept = {key: metadata.get(key) for key in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE, "metadata": kept}
        self.apply(ref, body, uid=str(metadata.get("uid")))

    def _secrets_path(self, namespace: str) -> str:
        self._require(is_namespace(namespace), "a namespace")
        return f"/api/v1/namespaces/{namespace}/secrets"

    def _secret_path(self, ref: SecretRef) -> str:
        # `..` or an empty name would reach the namespace itself: checked where the URL is made.
        self._require(is_name(ref.name), "the name of a Secret")
        return f"{self._secrets_path(ref.namespace)}/{ref.name}"

    def _require(self, holds: bool, kind: str) -> None:
        if not holds:
            raise self._error(Code.INVALID, "build a request", detail=f"what was given is not {kind}")

    def _pages(  # noqa: PLR0913  what a list may vary in
        self,
        path: str,
        what: str,
        *,
        kind: str,
        limit: int,
        accept: str = JSON,
        query: dict[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The pages of one list, all as of one resourceVersion."""
        version: str | None = None
        following, left = {"limit": str(limit)} | (query or {}), LIST_BYTES
        while True:
            cap = min(PAGE_BYTES, left)
            _, page, size = self._call("GET", path, what, accept=accept, query=following, cap=cap)
            self._expect(what, page, kind=kind)
            metadata = page["metadata"]
            if version not in (None, metadata.get("resourceVersion")):
                raise self._error(Code.LIST_EXPIRED, what, transient=True)
            version, left = str(metadata.get("resourceVersion")), left - size
            yield page
            if not metadata.get("continue"):
                return
            if metadata["continue"] == following.get("continue"):
                raise self._error(Code.PROTOCOL, what, detail="the same page again")
            following["continue"] = str(metadata["continue"])

    def _call(  # noqa: PLR0913  what a request may vary in
        self,
        method: str,
        path: str,
        what: str,
        *,
        accept: str = JSON,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        cap: int = OBJECT_BYTES,
    ) -> tuple[int, dict[str, Any], int]:
        """One request: status, JSON object and size of a 200 or 201; ClusterError for everything else."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._error(Code.DEADLINE, what)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "User-Agent": FIELD_MANAGER, "Accept-Encoding": "gzip"}
        if body is not None:
            headers["Content-Type"] = APPLY
        try:
            self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            timeout = (min(CONNECT_SECONDS, left), min(READ_SECONDS, left))
            answer = self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            content = self._drain(answer.response, what, cap)
        except (HTTPError, ApiException, OSError, ValueError) as error:
            raise self._unanswered(error, what) from None
        parsed = parse_answer(answer.status, content)
        if isinstance(parsed, Problem):
            raise self._error(parsed.code, what, detail=parsed.detail, transient=parsed.transient)
        return answer.status, parsed, len(content)

    def _drain(self, response: BaseHTTPResponse, what: str, cap: int) -> bytearray:
        """Read to the end, so that the connection is kept; cut what is too long or too slow."""
        content = bytearray()
        while piece := response.read1(65536, decode_content=True):  # returns after each recv
            content += piece
            late = time.monotonic() > self.deadline
            if late or len(content) > cap:
                response.close()
                raise self._error(Code.DEADLINE if late else Code.PROTOCOL, what)
        return content

    def _unanswered(self, error: Exception, what: str) -> ClusterError:
        """No complete answer came. The library's text may hold a token or an address: it stays here."""
        if _is_about_trust(error):
            return self._error(Code.TLS_FAILED, what)
        if isinstance(error, ReadTimeoutError):
            return self._error(Code.TIMEOUT, what, transient=True)
        if isinstance(error, NewConnectionError | ConnectTimeoutError):
            return self._error(Code.UNREACHABLE, what, transient=True)
        if isinstance(error, ValueError):
            return self._error(Code.KUBECONFIG, what, detail="the credential does not fit a request")
        return self._error(Code.UNREACHABLE, what, detail="the connection broke", transient=True)

    def _expect(
        self, what: str, answer: dict[str, Any], *, kind: str, name: str = "", namespace: str = ""
    ) -> None:
        if not is_about(answer, kind, name, namespace):
            raise self._error(Code.PROTOCOL, what, detail="the answer is about something else")

    def _error(self, code: Code, what: str, *, detail: str = "", transient: bool = False) -> ClusterError:
        return ClusterError(
            Failure(code=code, cluster=self._cluster, what=what, detail=detail, transient=transient)
        )


def _is_about_trust(error: BaseException | None) -> bool:
    """Whether a failed verification is at the bottom of an error; any other TLS trouble may pass."""
    while error:
        if any(isinstance(one, ssl.SSLCertVerificationError) for one in (error, *error.args)):
            return True
        error = error.__context__
    return False
