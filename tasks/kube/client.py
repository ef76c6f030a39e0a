"""The only module that talks to a Kubernetes API: what is asked of it, and whether the answer is about that.

Raw requests, JSON in and out: the client's model classes alone would cost 90 MiB and 2 s. No name reaches a
URL unchecked, and an answer counts only if it is about the object that was asked for. How a call is made is
calls.py's business.
"""

from collections.abc import Iterator
from typing import Any

from tasks.domain.annotations import FIELD_MANAGER, PRUNE_MANAGER, SECRET_TYPE
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import SecretRef, TargetSecret
from tasks.domain.names import UID, is_name, is_namespace
from tasks.kube.calls import Calls, Listing
from tasks.kube.permissions import Rights, parse_rights
from tasks.kube.responses import MALFORMED, Event, ResponseError, metadata_of, parse_event
from tasks.kube.target_secrets import parse_target_secrets
from tasks.kube.transport import Request

METADATA_PAGE = 500
NO_TABLE = "not a table of Secrets"
DATA_PAGE = 25
"""Secrets with data per page: bounds the memory of a run however many certificates there are."""
ANONYMOUS = "system:anonymous"
NO_RESOURCE_VERSION = "1"
"""A resourceVersion that no object has: etcd's first revision."""

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class ClusterClient(Calls):
    """What is asked of one cluster, a method for each question."""

    def cluster_id(self) -> str:
        """The uid of namespace kube-system, which identifies a cluster for its whole life."""
        what = "get namespace kube-system"
        answer = self._call(what, Request("GET", "/api/v1/namespaces/kube-system", METADATA)).content
        self._expect(what, answer, kind="PartialObjectMetadata", name="kube-system")
        uid = answer["metadata"].get("uid")
        if not isinstance(uid, str) or not UID.fullmatch(uid):
            raise self._error(FailureCode.PROTOCOL, what, detail="no uid in the answer")
        return uid

    def whoami(self) -> str:
        """Ask the server whom it takes us for; anonymously, nothing is read or written."""
        what = "ask who we are (create selfsubjectreview)"
        review = self._review("authentication.k8s.io/v1", "SelfSubjectReview", what, {})
        user = (review.get("status") or {}).get("userInfo") or {}
        if not isinstance(user.get("username"), str) or user["username"] in ("", ANONYMOUS):
            raise self._error(FailureCode.UNAUTHORIZED, what, detail="it takes us for nobody in particular")
        return str(user["username"])

    def rights(self, namespace: str) -> Rights:
        """What the server lets us do with Secrets of a namespace."""
        self._require(is_namespace(namespace), "a namespace")
        what = f"review the rights in {namespace}"
        spec = {"spec": {"namespace": namespace}}
        review = self._review("authorization.k8s.io/v1", "SelfSubjectRulesReview", what, spec)
        try:
            return parse_rights(review["status"])
        except (AttributeError, KeyError, TypeError):
            raise self._error(FailureCode.PROTOCOL, what, detail="not a review") from None

    def may(self, verb: str, namespace: str) -> bool:
        """Whether the server lets us do this with all Secrets of a namespace; every authorizer can say."""
        self._require(is_namespace(namespace), "a namespace")
        attributes = {"namespace": namespace, "verb": verb, "version": "v1", "resource": "secrets"}
        what, spec = f"review {verb} secrets in {namespace}", {"spec": {"resourceAttributes": attributes}}
        review = self._review("authorization.k8s.io/v1", "SelfSubjectAccessReview", what, spec)
        return (review.get("status") or {}).get("allowed") is True

    def _review(self, api: str, kind: str, what: str, spec: dict[str, Any]) -> dict[str, Any]:
        """One of the questions that are asked by a POST and change nothing."""
        body = {"apiVersion": api, "kind": kind, "metadata": {}, **spec}
        answer = self._call(what, Request("POST", f"/apis/{api}/{kind.lower()}s", JSON, body=body)).content
        self._expect(what, answer, kind=kind)
        return answer

    def target_secrets(self, namespace: str) -> list[TargetSecret]:
        """All Secrets of a namespace, of any type and owner, without their data."""
        path, what = self._secrets_path(namespace), f"list secrets in {namespace}"
        kind = Listing("Table", TABLE, METADATA_PAGE, _read_table)
        found: list[TargetSecret] = []
        for page in self._pages(path, what, kind):
            found += self._rows(page, what)
        if any(secret.ref.namespace != namespace for secret in found):
            raise self._error(FailureCode.PROTOCOL, what, detail="Secrets of another namespace")
        return found

    def target_secret(self, ref: SecretRef) -> TargetSecret | None:
        """One Secret, without its data; None where there is none."""
        what = f"get metadata of secret {ref}"
        answer = self._get(what, Request("GET", self._secret_path(ref), TABLE))
        if answer is None:
            return None
        self._expect(what, answer, kind="Table")
        found = self._rows(_read_table(answer), what)
        if [secret.ref for secret in found] != [ref]:
            raise self._error(FailureCode.PROTOCOL, what, detail="the answer is about something else")
        return found[0]

    def _rows(self, read: dict[str, Any], what: str) -> list[TargetSecret]:
        rows: list[TargetSecret] | None = read["rows"]
        if rows is None:
            raise self._error(FailureCode.PROTOCOL, what, detail=NO_TABLE)
        return rows

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        """Pages of all kubernetes.io/tls Secrets with their data, cert-manager's staged keys left out."""
        path, what = self._secrets_path(namespace), f"list secrets in {namespace}"
        listing = Listing("SecretList", JSON, DATA_PAGE, _without_managed_fields)
        for page in self._pages(path, what, listing, _tls_query(selector)):
            yield page.get("items") or []

    def tls_versions(self, namespace: str, selector: dict[str, str]) -> tuple[str, dict[str, str]]:
        """The list's resourceVersion, and that of each Secret that `tls_secrets` would list, by name."""
        path, what = self._secrets_path(namespace), f"list secrets in {namespace}"
        version, found = "", dict[str, str]()
        for page in self._pages(path, what, Listing("Table", TABLE, METADATA_PAGE), _tls_query(selector)):
            version = str(page["metadata"].get("resourceVersion"))
            found |= self._parse_versions(page, what)
        return version, found

    def _parse_versions(self, table: dict[str, Any], what: str) -> dict[str, str]:
        """By name. A row without one costs itself: runs see what it is about all the same."""
        rows = table.get("rows") or []
        if not isinstance(rows, list):
            raise self._error(FailureCode.PROTOCOL, what, detail=NO_TABLE)
        objects = [metadata_of(row.get("object")) for row in rows if isinstance(row, dict)]
        return {str(one["name"]): str(one.get("resourceVersion")) for one in objects if one.get("name")}

    def watch_tls_secrets(
        self, namespace: str, selector: dict[str, str], version: str, seconds: int
    ) -> Iterator[Event]:
        """What becomes of what `tls_versions` lists, from that resourceVersion on, for so many seconds.

        By metadata. LIST_EXPIRED where the server no longer knows that version.
        """
        path, what = self._secrets_path(namespace), f"watch secrets in {namespace}"
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        for line in self._lines(what, Request("GET", path, METADATA, _tls_query(selector) | query)):
            event = parse_event(line)
            if isinstance(event, ResponseError):
                raise self._error(event.code, what, detail=event.detail, transient=event.transient)
            yield event

    def tls_secret(self, ref: SecretRef) -> dict[str, Any] | None:
        """One Secret with its data; None where there is none."""
        what = f"get secret {ref}"
        answer = self._get(what, Request("GET", self._secret_path(ref), JSON))
        if answer is None:
            return None
        self._expect(what, answer, kind="Secret", name=ref.name, namespace=ref.namespace)
        return answer

    def certificates(self, namespace: str) -> Iterator[list[dict[str, Any]]]:
        """Pages of cert-manager's Certificate objects; NotFound where the cluster does not know them."""
        self._require(is_namespace(namespace), "a namespace")
        path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates"
        what = f"list certificates.cert-manager.io in {namespace}"
        for page in self._pages(path, what, Listing("CertificateList", JSON, METADATA_PAGE)):
            yield page.get("items") or []

    def apply(self, ref: SecretRef, body: dict[str, Any], *, uid: str | None) -> str:
        """Server-side apply; returns the new resourceVersion. The answer must hold exactly the data sent.

        Without a uid it creates, and its body must carry NO_RESOURCE_VERSION as resourceVersion: an apply to
        an object that exists is then a conflict, whoever made it. With a uid it updates that very object, and
        its body must carry uid and resourceVersion, which make it a compare-and-swap.
        """
        what = f"apply secret {ref}"
        query = {"fieldManager": FIELD_MANAGER, "force": str(uid is not None).lower()}
        ask = Request("PATCH", self._secret_path(ref), JSON, query, body, APPLY)
        return self._written(what, ref, ask, uid)

    def replace(self, ref: SecretRef, body: dict[str, Any], *, uid: str) -> str:
        """Merge patch of that very object in that state; as `apply`, and what is None in the body goes.

        Whoever owns it, and in the same moment as the new values come. Its field manager is a patch's, which
        owns what it changed beside the apply that is to follow.
        """
        what = f"replace secret {ref}"
        ask = Request("PATCH", self._secret_path(ref), JSON, {"fieldManager": FIELD_MANAGER}, body, MERGE)
        return self._written(what, ref, ask, uid)

    def _written(self, what: str, ref: SecretRef, ask: Request, uid: str | None) -> str:
        """The new resourceVersion, where the answer shows what was sent and nothing else."""
        status, answer, *_ = self._call(what, ask)
        self._expect(what, answer, kind="Secret", name=ref.name, namespace=ref.namespace)
        metadata = answer["metadata"]
        if status != (201 if uid is None else 200) or uid not in (None, metadata.get("uid")):
            raise self._error(FailureCode.PROTOCOL, what, detail="the answer is about another object")
        sent = {key: value for key, value in (ask.body or {})["data"].items() if value is not None}
        if answer.get("data") != sent:
            raise self._error(FailureCode.ALTERED, what)  # managedFields would not show it
        return str(metadata.get("resourceVersion"))

    def annotate(self, ref: SecretRef, annotations: dict[str, str | None], *, uid: str, version: str) -> None:
        """Set annotations of that very object in that state, or take off those that are None.

        By a merge patch, which takes them off whoever wrote them last. Raises ClusterError: CONFLICT where
        the object is another one by now.
        """
        what = f"annotate secret {ref}"
        metadata = {"name": ref.name, "namespace": ref.namespace, "uid": uid, "resourceVersion": version}
        body = {"metadata": {**metadata, "annotations": annotations}}
        query = {"fieldManager": PRUNE_MANAGER}
        ask = Request("PATCH", self._secret_path(ref), METADATA, query, body, MERGE)
        answer = self._call(what, ask).content
        self._expect(what, answer, kind="PartialObjectMetadata", name=ref.name, namespace=ref.namespace)
        if answer["metadata"].get("uid") != uid:
            raise self._error(FailureCode.PROTOCOL, what, detail="the answer is about another object")

    def delete(self, ref: SecretRef, *, uid: str, version: str) -> None:
        """That very object, in that state. Raises ClusterError: CONFLICT where it is another by now."""
        what = f"delete secret {ref}"
        preconditions = {"uid": uid, "resourceVersion": version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        answer = self._call(what, Request("DELETE", self._secret_path(ref), JSON, body=body)).content
        if answer.get("kind") not in ("Status", "Secret"):  # a Secret, where a finalizer holds it
            raise self._error(FailureCode.PROTOCOL, what, detail="the answer is about something else")

    def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        """A Lease as it is; None where there is none."""
        what = f"get lease {namespace}/{name}"
        answer = self._get(what, Request("GET", self._lease_path(namespace, name), JSON))
        if answer is not None:
            self._expect(what, answer, kind="Lease", name=name, namespace=namespace)
        return answer

    def write_lease(self, namespace: str, name: str, spec: dict[str, Any], version: str) -> dict[str, Any]:
        """Create it, or replace the one of that resourceVersion; CONFLICT where another one was faster."""
        what = f"write lease {namespace}/{name}"
        metadata = {"name": name, "namespace": namespace} | ({"resourceVersion": version} if version else {})
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
        path = self._lease_path(namespace, name)
        ask = (
            Request("PUT", path, JSON, body=body)
            if version
            else Request("POST", path.rpartition("/")[0], JSON, body=body)
        )
        answer = self._call(what, ask).content
        self._expect(what, answer, kind="Lease", name=name, namespace=namespace)
        return answer

    def _lease_path(self, namespace: str, name: str) -> str:
        self._require(is_namespace(namespace), "a namespace")
        self._require(is_name(name), "the name of a Lease")
        return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"

    def supports_dry_run(self, namespace: str) -> bool:
        """Whether `dryRun` arrives at a server that knows it: a value that none takes is refused for that.

        Without it the body would be refused, with another status. So nothing can be stored either way.
        """
        ref = SecretRef(namespace=namespace, name="tls-sync-preflight")
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "Nothing"}
        try:
            self._call(f"refuse {ref}", Request("PATCH", self._secret_path(ref), JSON, query, {}, APPLY))
        except ClusterError as error:
            if error.failure.code is not FailureCode.INVALID:
                raise
            return error.failure.detail == "HTTP 422"
        return False

    def dry_run_apply(self, ref: SecretRef, body: dict[str, Any]) -> None:
        """`apply` of a new Secret as a dry run: the server decides, and stores nothing."""
        what = f"apply secret {ref} as a dry run"
        query = {"fieldManager": FIELD_MANAGER, "force": "false", "dryRun": "All"}
        answer = self._call(what, Request("PATCH", self._secret_path(ref), JSON, query, body, APPLY)).content
        self._expect(what, answer, kind="Secret", name=ref.name, namespace=ref.namespace)

    def _secrets_path(self, namespace: str) -> str:
        self._require(is_namespace(namespace), "a namespace")
        return f"/api/v1/namespaces/{namespace}/secrets"

    def _secret_path(self, ref: SecretRef) -> str:
        # `..` or an empty name would reach the namespace itself: checked where the URL is made.
        self._require(is_name(ref.name), "the name of a Secret")
        return f"{self._secrets_path(ref.namespace)}/{ref.name}"


def _read_table(table: dict[str, Any]) -> dict[str, Any]:
    """The same Table, its rows as TargetSecrets; None in their place where it is malformed."""
    rows: list[TargetSecret] | None
    try:
        rows = parse_target_secrets(table)
    except MALFORMED:
        rows = None
    return {"kind": table.get("kind"), "metadata": table["metadata"], "rows": rows}


def _without_managed_fields(page: dict[str, Any]) -> dict[str, Any]:
    """Nothing is decided by them on OPS, and as dictionaries they are half of a Secret."""
    for item in page.get("items") or []:
        if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
            item["metadata"].pop("managedFields", None)
    return page


def _tls_query(selector: dict[str, str]) -> dict[str, str]:
    """All kubernetes.io/tls Secrets with these labels, cert-manager's staged keys left out."""
    labels = [f"{key}={value}" for key, value in sorted(selector.items())]
    labels.append("!cert-manager.io/next-private-key")
    return {"labelSelector": ",".join(labels), "fieldSelector": f"type={SECRET_TYPE}"}
