"""The requests to a Kubernetes API server. Each method checks that the response is about its object.

The requests are plain REST calls with JSON. CoreV1Api of the kubernetes client is not used, because
(kubernetes 37.0.1):

- Importing and making it costs a run 20 MiB and 1 s of CPU, for 250 model classes.
- It reads each response whole, however large it is, and asks for no compression. Its timeouts limit a connect
  and each read, not a request: a server that sends a byte now and then outlasts them.
- It does not parse Tables, so a list of a target's Secrets would carry their keys, or lack their types.
- One malformed object fails a whole list; here it fails alone. The error quotes the value that does not fit,
  which may be a key, and an ApiException quotes the server's text.
"""

from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from tasks.config.discovered import Profile
from tasks.domain.annotations import PIN, SECRET_TYPE
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ListedSecret, MetadataKeys, SecretRef, TargetSecret
from tasks.domain.names import UID, is_name, is_namespace
from tasks.kube.calls import OTHER_KIND, OTHER_OBJECT, Calls, Listing
from tasks.kube.cluster_profiles import PROFILES_API, parse_profiles
from tasks.kube.listed_secrets import parse_listed_secrets, written_of
from tasks.kube.permissions import Permissions, parse_permissions
from tasks.kube.responses import MALFORMED, Event, ResponseError, metadata_of, name_of, parse_event
from tasks.kube.target_secrets import NO_KEYS, parse_target_secret, parse_target_secrets
from tasks.kube.transport import USER_AGENT_OF_DATA, Request

R = TypeVar("R")

METADATA_PAGE = 500
"""Objects on a page of a list of metadata."""
DATA_PAGE = 25
"""Secrets on a page of a list with data. It bounds the memory of a run with any number of certificates."""
NO_TABLE = "not a table of Secrets"
ANONYMOUS = "system:anonymous"

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class Written(NamedTuple):
    """The response to a write, without its data."""

    metadata: dict[str, Any]
    """As the server sent it: the annotations of others may hold anything, so it goes no further."""
    type: str
    given: MetadataKeys = NO_KEYS

    @property
    def resource_version(self) -> str:
        return str(self.metadata.get("resourceVersion"))

    def target_secret(self) -> TargetSecret | None:
        """Return the Secret as a list would show it; None if the metadata is malformed."""
        try:
            return parse_target_secret(self.metadata, self.type, self.given)
        except MALFORMED:
            return None


class Kubeconfig(NamedTuple):
    """A kubeconfig in a Secret. It is a credential."""

    content: bytes
    version: tuple[str, str]
    """uid and resourceVersion of the Secret."""
    pin: str
    """The clusterId that its annotation has; empty without a valid one."""


class ClusterClient(Calls):
    """The requests to one cluster. Every method raises ClusterError."""

    given_metadata: MetadataKeys = NO_KEYS
    """The labels and annotations of others' keys that are read of a Secret: routes give them to copies."""

    def cluster_id(self) -> str:
        """Return the uid of namespace kube-system, which identifies a cluster for its whole life."""
        operation = "get namespace kube-system"
        found = self._call(operation, Request("GET", "/api/v1/namespaces/kube-system", METADATA)).content
        self._expect(operation, found, kind="PartialObjectMetadata", name="kube-system")
        uid = found["metadata"].get("uid")
        if not isinstance(uid, str) or not UID.fullmatch(uid):
            raise self._error(FailureCode.PROTOCOL, operation, detail="no uid in the response")
        return uid

    user = ""
    """The user name that the server knows us by, once `whoami` was called."""

    def whoami(self) -> str:
        """Return the user name that the server knows us by. UNAUTHORIZED for an anonymous user."""
        operation = "ask who we are (create selfsubjectreview)"
        review = self._review("authentication.k8s.io/v1", "SelfSubjectReview", operation, {})
        user = (review.get("status") or {}).get("userInfo") or {}
        if not isinstance(user.get("username"), str) or user["username"] in ("", ANONYMOUS):
            detail = "the server takes the credential for an anonymous user"
            raise self._error(FailureCode.UNAUTHORIZED, operation, detail=detail)
        self.user = str(user["username"])
        return self.user

    def namespaces(self, selector: str) -> list[str]:
        """Return the names of the namespaces that have these labels."""
        operation = f"list namespaces with {selector}"
        listing = Listing("PartialObjectMetadataList", METADATA_LIST, METADATA_PAGE)
        pages = self._pages("/api/v1/namespaces", operation, listing, {"labelSelector": selector})
        return [name for page in pages for one in page.get("items") or [] if (name := name_of(one))]

    def namespaces_with_binding(self, name: str) -> list[str]:
        """Return the namespaces that have a RoleBinding of this name."""
        self._require(is_name(name), "the name of a RoleBinding")
        path, operation = "/apis/rbac.authorization.k8s.io/v1/rolebindings", f"list rolebindings named {name}"
        listing = Listing("PartialObjectMetadataList", METADATA_LIST, METADATA_PAGE)
        pages = self._pages(path, operation, listing, {"fieldSelector": f"metadata.name={name}"})
        found = [metadata_of(one).get("namespace") for page in pages for one in page.get("items") or []]
        return [one for one in found if isinstance(one, str) and is_namespace(one)]

    def permissions(self, namespace: str) -> Permissions:
        """Return what the server allows us to do with the Secrets of a namespace."""
        self._require(is_namespace(namespace), "a namespace")
        operation = f"review the permissions in {namespace}"
        spec = {"spec": {"namespace": namespace}}
        review = self._review("authorization.k8s.io/v1", "SelfSubjectRulesReview", operation, spec)
        try:
            return parse_permissions(review["status"])
        except (AttributeError, KeyError, TypeError):
            raise self._error(FailureCode.PROTOCOL, operation, detail="not a review") from None

    def can_i(self, verb: str, namespace: str, resource: str = "secrets") -> bool:
        """Return whether all objects of a kind in a namespace are open to a verb. Any authorizer knows."""
        self._require(is_namespace(namespace), "a namespace")
        attributes = {"namespace": namespace, "verb": verb, "version": "v1", "resource": resource}
        operation = f"review {verb} {resource} in {namespace}"
        spec = {"spec": {"resourceAttributes": attributes}}
        review = self._review("authorization.k8s.io/v1", "SelfSubjectAccessReview", operation, spec)
        return (review.get("status") or {}).get("allowed") is True

    def _review(self, api: str, kind: str, operation: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create a review: a POST that stores nothing, and whose response is the answer."""
        body = {"apiVersion": api, "kind": kind, "metadata": {}, **spec}
        request = Request("POST", f"/apis/{api}/{kind.lower()}s", JSON, body=body)
        found = self._call(operation, request).content
        self._expect(operation, found, kind=kind)
        return found

    def target_secrets(self, namespace: str) -> list[TargetSecret]:
        """Return all Secrets of a namespace, of any type and owner, without their data."""
        path, operation = self._secrets_path(namespace), f"list secrets in {namespace}"
        listing = Listing("Table", TABLE, METADATA_PAGE, partial(_with_rows, self._parse_secrets))
        found: list[TargetSecret] = []
        for page in self._pages(path, operation, listing):
            found += self._rows_of(namespace, page, operation)
        return found

    def target_secret(self, ref: SecretRef) -> TargetSecret | None:
        """Return one Secret without its data, or None if there is none."""
        operation = f"get metadata of secret {ref}"
        table = self._get(operation, Request("GET", self._secret_path(ref), TABLE))
        if table is None:
            return None
        self._expect(operation, table, kind="Table")
        found: list[TargetSecret] = self._rows(_with_rows(self._parse_secrets, table), operation)
        if [secret.ref for secret in found] != [ref]:
            raise self._error(FailureCode.PROTOCOL, operation, detail=OTHER_KIND)
        return found[0]

    def _parse_secrets(self, table: dict[str, Any]) -> list[TargetSecret]:
        return parse_target_secrets(table, self.given_metadata)

    def _rows_of(self, namespace: str, parsed: dict[str, Any], operation: str) -> list[Any]:
        """Return the rows, which must all be of this namespace."""
        rows = self._rows(parsed, operation)
        if any(secret.ref.namespace != namespace for secret in rows):
            raise self._error(FailureCode.PROTOCOL, operation, detail="Secrets of another namespace")
        return rows

    def _rows(self, parsed: dict[str, Any], operation: str) -> list[Any]:
        """Return the rows that `_with_rows` has parsed."""
        rows: list[Any] | None = parsed["rows"]
        if rows is None:
            raise self._error(FailureCode.PROTOCOL, operation, detail=NO_TABLE)
        return rows

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the kubernetes.io/tls Secrets with data, without cert-manager's staged keys."""
        path, operation = self._secrets_path(namespace), f"list secrets in {namespace}"
        listing = Listing("SecretList", JSON, DATA_PAGE, _with_times_only, USER_AGENT_OF_DATA)
        for page in self._pages(path, operation, listing, _tls_query(selector)):
            yield page.get("items") or []

    def listed_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[ListedSecret]]:
        """Yield pages of the metadata of the Secrets that `tls_secrets` lists."""
        path, operation = self._secrets_path(namespace), f"list secrets in {namespace}"
        listing = Listing("Table", TABLE, METADATA_PAGE, partial(_with_rows, parse_listed_secrets))
        for page in self._pages(path, operation, listing, _tls_query(selector)):
            yield self._rows_of(namespace, page, operation)

    def tls_versions(self, namespace: str, selector: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return the list's resourceVersion, and by name that of each Secret that `tls_secrets` lists."""
        path, operation = self._secrets_path(namespace), f"list secrets in {namespace}"
        version, found = "", dict[str, str]()
        listing = Listing("Table", TABLE, METADATA_PAGE)
        for page in self._pages(path, operation, listing, _tls_query(selector)):
            version = str(page["metadata"].get("resourceVersion"))
            found |= self._parse_versions(page, operation)
        return version, found

    def _parse_versions(self, table: dict[str, Any], operation: str) -> dict[str, str]:
        """Return the resourceVersions by name. Rows without a name are left out; runs list them."""
        rows = table.get("rows") or []
        if not isinstance(rows, list):
            raise self._error(FailureCode.PROTOCOL, operation, detail=NO_TABLE)
        objects = [metadata_of(row.get("object")) for row in rows if isinstance(row, dict)]
        return {str(one["name"]): str(one.get("resourceVersion")) for one in objects if one.get("name")}

    def watch_tls_secrets(
        self, namespace: str, selector: dict[str, str], version: str, seconds: int
    ) -> Iterator[Event]:
        """Watch what `tls_versions` lists from resourceVersion `version` on, for `seconds` seconds.

        The events carry metadata only. LIST_EXPIRED if the server no longer knows that resourceVersion.
        """
        path, operation = self._secrets_path(namespace), f"watch secrets in {namespace}"
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        for line in self._stream(operation, Request("GET", path, METADATA, _tls_query(selector) | query)):
            event = parse_event(line)
            if isinstance(event, ResponseError):
                raise self._error(event.code, operation, detail=event.detail, transient=event.transient)
            yield event

    def tls_secret(self, ref: SecretRef) -> dict[str, Any] | None:
        """Return one Secret with its data, or None if there is none."""
        operation = f"get secret {ref}"
        request = Request("GET", self._secret_path(ref), JSON, user_agent=USER_AGENT_OF_DATA)
        found = self._get(operation, request)
        if found is not None:
            self._expect(operation, found, kind="Secret", name=ref.name, namespace=ref.namespace)
        return found

    def kubeconfig_of(self, ref: SecretRef) -> Kubeconfig:
        """Return the key `config` of a Secret. NOT_FOUND without the Secret."""
        operation = f"get secret {ref}"
        found = self._call(operation, Request("GET", self._secret_path(ref), JSON)).content
        self._expect(operation, found, kind="Secret", name=ref.name, namespace=ref.namespace)
        metadata, data = found["metadata"], found.get("data") or {}
        try:
            content = b64decode(data["config"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise self._error(FailureCode.KUBECONFIG, operation, detail="it has no key config") from None
        version = str(metadata.get("uid")), str(metadata.get("resourceVersion"))
        pin = (metadata.get("annotations") or {}).get(PIN)
        return Kubeconfig(content, version, pin if isinstance(pin, str) and UID.fullmatch(pin) else "")

    def cluster_profiles(self, namespace: str, selector: dict[str, str]) -> Iterator[list[Profile]]:
        """Yield pages of SIG Multicluster's ClusterProfiles. API_MISSING if they are not served."""
        self._require(is_namespace(namespace), "a namespace")
        path = f"/apis/{PROFILES_API}/namespaces/{namespace}/clusterprofiles"
        operation = f"list clusterprofiles.{PROFILES_API.partition('/')[0]} in {namespace}"
        labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        listing = Listing("ClusterProfileList", JSON, METADATA_PAGE, parse_profiles)
        for page in self._pages(path, operation, listing, {"labelSelector": labels} if labels else None):
            yield page["profiles"]

    def certificates(self, namespace: str) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of cert-manager's Certificates. API_MISSING if the cluster does not serve them."""
        self._require(is_namespace(namespace), "a namespace")
        path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates"
        operation = f"list certificates.cert-manager.io in {namespace}"
        for page in self._pages(path, operation, Listing("CertificateList", JSON, METADATA_PAGE)):
            yield page.get("items") or []

    def certificate(self, ref: SecretRef) -> dict[str, Any]:
        """Return one of cert-manager's Certificates. NOT_FOUND if there is none."""
        self._require(is_namespace(ref.namespace), "a namespace")
        self._require(is_name(ref.name), "the name of a Certificate")
        path = f"/apis/cert-manager.io/v1/namespaces/{ref.namespace}/certificates/{ref.name}"
        operation = f"get certificate.cert-manager.io {ref}"
        found = self._call(operation, Request("GET", path, JSON)).content
        self._expect(operation, found, kind="Certificate", name=ref.name, namespace=ref.namespace)
        return found

    def apply(self, ref: SecretRef, body: dict[str, Any], *, uid: str | None, field_manager: str) -> Written:
        """Apply a Secret (server-side). ALTERED if the server changed the data.

        Without a uid it creates: the body must carry NO_RESOURCE_VERSION as its resourceVersion, so that an
        apply to an existing object is a CONFLICT, whoever created it. With a uid it updates that object: the
        body must carry uid and resourceVersion, which make it a compare-and-swap.
        """
        operation = f"apply secret {ref}"
        query = {"fieldManager": field_manager, "force": str(uid is not None).lower()}
        request = Request("PATCH", self._secret_path(ref), JSON, query, body, APPLY)
        return self._write(operation, ref, request, uid)

    def replace(self, ref: SecretRef, body: dict[str, Any], *, uid: str, field_manager: str) -> Written:
        """Merge-patch the object with this uid and resourceVersion; otherwise as `apply`.

        It deletes each key and annotation that is None in the body, whoever owns it, in the same request that
        writes the new values. The apply that follows takes over the fields that this patch owns.
        """
        operation = f"replace secret {ref}"
        query = {"fieldManager": field_manager}
        request = Request("PATCH", self._secret_path(ref), JSON, query, body, MERGE)
        return self._write(operation, ref, request, uid)

    def _write(self, operation: str, ref: SecretRef, request: Request, uid: str | None) -> Written:
        """Return what was written, if the response shows exactly the data that was sent."""
        status, found, *_ = self._call(operation, request)
        self._expect(operation, found, kind="Secret", name=ref.name, namespace=ref.namespace)
        metadata = found["metadata"]
        if status != (201 if uid is None else 200) or uid not in (None, metadata.get("uid")):
            raise self._error(FailureCode.PROTOCOL, operation, detail=OTHER_OBJECT)
        sent = {key: value for key, value in (request.body or {})["data"].items() if value is not None}
        if found.get("data") != sent:
            raise self._error(FailureCode.ALTERED, operation)  # managedFields would not show it
        return Written(metadata, str(found.get("type")), self.given_metadata)

    def annotate(
        self,
        ref: SecretRef,
        annotations: dict[str, str | None],
        *,
        uid: str,
        version: str,
        field_manager: str,
    ) -> Written:
        """Set annotations of the object with this uid and resourceVersion, and delete those that are None.

        A merge patch deletes them whoever owns them. CONFLICT if the object has changed.
        """
        operation = f"annotate secret {ref}"
        metadata = {"name": ref.name, "namespace": ref.namespace, "uid": uid, "resourceVersion": version}
        body = {"metadata": {**metadata, "annotations": annotations}}
        query = {"fieldManager": field_manager}
        request = Request("PATCH", self._secret_path(ref), METADATA, query, body, MERGE)
        found = self._call(operation, request).content
        self._expect(operation, found, kind="PartialObjectMetadata", name=ref.name, namespace=ref.namespace)
        if found["metadata"].get("uid") != uid:
            raise self._error(FailureCode.PROTOCOL, operation, detail=OTHER_OBJECT)
        return Written(found["metadata"], SECRET_TYPE, self.given_metadata)

    def delete(self, ref: SecretRef, *, uid: str, version: str) -> None:
        """Delete the object with this uid and resourceVersion. CONFLICT if the object has changed."""
        operation = f"delete secret {ref}"
        preconditions = {"uid": uid, "resourceVersion": version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        found = self._call(operation, Request("DELETE", self._secret_path(ref), JSON, body=body)).content
        if found.get("kind") not in ("Status", "Secret"):  # a Secret if it has a finalizer
            raise self._error(FailureCode.PROTOCOL, operation, detail=OTHER_KIND)

    def create_event(self, manifest: dict[str, Any]) -> None:
        """Create an Event of core/v1; without effect if it exists already."""
        namespace = manifest["metadata"]["namespace"]
        self._require(is_namespace(namespace), "a namespace")
        operation = f"create events in {namespace}"
        path = f"/api/v1/namespaces/{namespace}/events"
        try:
            found = self._call(operation, Request("POST", path, METADATA, body=manifest)).content
        except ClusterError as error:
            if error.failure.code is not FailureCode.CONFLICT:
                raise
        else:
            name = manifest["metadata"]["name"]
            self._expect(operation, found, kind="PartialObjectMetadata", name=name, namespace=namespace)

    def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a Lease, or None if there is none."""
        operation = f"get lease {namespace}/{name}"
        found = self._get(operation, Request("GET", self._lease_path(namespace, name), JSON))
        if found is not None:
            self._expect(operation, found, kind="Lease", name=name, namespace=namespace)
        return found

    def write_lease(self, namespace: str, name: str, spec: dict[str, Any], version: str) -> dict[str, Any]:
        """Create a Lease, or replace it at resourceVersion `version`. CONFLICT if someone else was faster."""
        operation = f"write lease {namespace}/{name}"
        metadata = {"name": name, "namespace": namespace} | ({"resourceVersion": version} if version else {})
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
        path = self._lease_path(namespace, name)
        method, path = ("PUT", path) if version else ("POST", path.rpartition("/")[0])
        found = self._call(operation, Request(method, path, JSON, body=body)).content
        self._expect(operation, found, kind="Lease", name=name, namespace=namespace)
        return found

    def _lease_path(self, namespace: str, name: str) -> str:
        self._require(is_namespace(namespace), "a namespace")
        self._require(is_name(name), "the name of a Lease")
        return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"

    def supports_dry_run(self, namespace: str, *, field_manager: str) -> bool:
        """Return whether the server sees the parameter `dryRun`, which a proxy may drop.

        The request has a value of dryRun that no server accepts (status 422), and an empty body, which a
        server refuses with another status. So nothing can be stored either way.
        """
        ref = SecretRef(namespace=namespace, name="tls-sync-preflight")
        query = {"fieldManager": field_manager, "dryRun": "Nothing"}
        request = Request("PATCH", self._secret_path(ref), JSON, query, {}, APPLY)
        try:
            self._call(f"refuse {ref}", request)
        except ClusterError as error:
            if error.failure.code is not FailureCode.INVALID:
                raise
            return error.failure.detail == "HTTP 422"
        return False

    def dry_run_apply(self, ref: SecretRef, body: dict[str, Any], *, field_manager: str) -> None:
        """Apply a new Secret as a dry run: the server admits or refuses it, and stores nothing."""
        operation = f"apply secret {ref} as a dry run"
        query = {"fieldManager": field_manager, "force": "false", "dryRun": "All"}
        request = Request("PATCH", self._secret_path(ref), JSON, query, body, APPLY)
        found = self._call(operation, request).content
        self._expect(operation, found, kind="Secret", name=ref.name, namespace=ref.namespace)

    def _secrets_path(self, namespace: str) -> str:
        self._require(is_namespace(namespace), "a namespace")
        return f"/api/v1/namespaces/{namespace}/secrets"

    def _secret_path(self, ref: SecretRef) -> str:
        # `..` or an empty name would address the namespace itself, so the name is checked here.
        self._require(is_name(ref.name), "the name of a Secret")
        return f"{self._secrets_path(ref.namespace)}/{ref.name}"


def _with_rows(parse: Callable[[dict[str, Any]], list[R]], table: dict[str, Any]) -> dict[str, Any]:
    """Return the Table with its rows as `parse` returns them, or with None for rows if it is malformed."""
    rows: list[R] | None
    try:
        rows = parse(table)
    except MALFORMED:
        rows = None
    return {"kind": table.get("kind"), "metadata": table["metadata"], "rows": rows}


def _with_times_only(page: dict[str, Any]) -> dict[str, Any]:
    """Keep only the times of managedFields: as dictionaries, these are half of a Secret."""
    for item in page.get("items") or []:
        if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
            item["metadata"]["managedFields"] = [{"time": written_of(item["metadata"])}]
    return page


def _tls_query(selector: dict[str, str]) -> dict[str, str]:
    """Select all kubernetes.io/tls Secrets with these labels, except cert-manager's staged keys."""
    labels = [f"{key}={value}" for key, value in sorted(selector.items())]
    labels.append("!cert-manager.io/next-private-key")
    return {"labelSelector": ",".join(labels), "fieldSelector": f"type={SECRET_TYPE}"}
