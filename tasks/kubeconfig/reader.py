"""Makes an API client from one context of a kubeconfig. A broken context fails its cluster only.

The official loader sends anonymous requests if the user is missing, ignores impersonation, and takes the text
"false" in insecure-skip-tls-verify for true. This reader accepts only what it knows to be safe, and names
everything else. No message quotes a value.
"""

import os
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tasks.domain.names import is_host
from tasks.domain.text import join_limited
from tasks.kubeconfig.authentication import Authentication
from tasks.kubeconfig.context import Context
from tasks.kubeconfig.sdk import ApiClient, Configuration
from tasks.runtime.tls import tls_context
from tasks.runtime.yaml_file import YamlError, parse_yaml, read_yaml

MAX_BYTES = 8 * 1024 * 1024
"""Maximum number of bytes of a kubeconfig."""
MAX_CONNECTIONS = 4
"""Connections to one cluster, and threads that use them."""
KUBELET_LINK = "..data"
"""The link that the kubelet creates in the folder of a mounted Secret."""

OF_THIS_MACHINE = frozenset({"tokenFile", "exec", "auth-provider"})
"""Keys of a user that name a file or a program of the machine that reads the kubeconfig."""
IN_CLUSTER = "(in cluster)"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

CLUSTER_KEYS = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "extensions"}
)


class Access(NamedTuple):
    """A client of one API server."""

    api: ApiClient
    expires_at: datetime | None = None
    """When the credential expires, if that is known and it is not renewed automatically."""
    version: tuple[object, ...] = ()
    """Changes when the kubeconfig is replaced or rewritten; empty where that can't be told."""
    pin: str = ""
    """The clusterId that stands beside the kubeconfig, where it is that of a discovered cluster."""


def connect(cluster: str, context: str | None, *, allow_exec: bool = False) -> Access:
    """Return a client for a context of $KUBECONFIG; without a context, for the cluster of this pod.

    Raises ClusterError: KUBECONFIG names the context and the key at fault, EXEC_FAILED is transient.
    """
    if context is None:
        return _in_cluster(cluster)
    checked, version = Context(cluster, context), file_version()
    return _Reader(checked, allow_exec=allow_exec).access(_read(checked))._replace(version=version)


def parse_access(cluster: str, context: str, document: Any) -> Access:
    """Return a client for a context of a parsed kubeconfig. Raises ClusterError as `connect` does."""
    return _Reader(Context(cluster, context)).access(document)


def parse_own(cluster: str, content: bytes, where: str) -> Access:
    """Return a client for the only context of a kubeconfig, or its current one. Raises ClusterError.

    `where` says where it is. The credential of one cluster is there, whatever its contexts are called.
    Whoever may write it could name a file of this pod, with our own token in it, or a program: both are
    refused.
    """
    unknown = Context(cluster, "", where)
    try:
        document = parse_yaml(content)
    except YamlError as error:
        unknown.refuse(str(error))
    names = _contexts_of(document)
    current = document.get("current-context") if isinstance(document, dict) else None
    name = current or (names[0] if len(names) == 1 else None)
    if not isinstance(name, str):
        unknown.refuse(f"it has {len(names)} contexts and no current-context; give it one of both")
    return _Reader(Context(cluster, name, where), refused=OF_THIS_MACHINE).access(document)


def contexts() -> tuple[str, ...]:
    """Return the names of all contexts of $KUBECONFIG. Raises ClusterError as `connect` does."""
    return _contexts_of(_read(Context("any", "of any name")))


def _contexts_of(document: Any) -> tuple[str, ...]:
    listed = document.get("contexts") if isinstance(document, dict) else None
    entries = listed if isinstance(listed, list) else []
    return tuple(str(one["name"]) for one in entries if isinstance(one, dict) and one.get("name"))


def file_version() -> tuple[object, ...]:
    """Return a value that changes when $KUBECONFIG is replaced or rewritten; empty if it can't be read."""
    path = _path()
    try:
        status = path.stat()
    except OSError:
        return ()
    return path, status.st_mtime_ns, status.st_ino


class _File(NamedTuple):
    """A parsed document, or why there is none."""

    document: Any = None
    error: str = ""


_frozen: ContextVar[_File | None] = ContextVar("_frozen", default=None)


@contextmanager
def frozen_kubeconfig() -> Iterator[None]:
    """Inside the block, this thread and the tasks that it starts use the file as it is now.

    A run uses one kubeconfig from its first cluster to its last retry; the next run reads the file again.
    """
    token = _frozen.set(_load())
    try:
        yield
    finally:
        _frozen.reset(token)


def _read(context: Context) -> Any:
    file = _frozen.get() or _load()
    if file.error:
        context.refuse(file.error)
    return file.document


def _load() -> _File:
    path = _path()
    try:
        status = path.stat()
        return _File(_document(path, status.st_mtime_ns, status.st_ino))
    except OSError:
        return _File(error=_missing(path))
    except YamlError as error:
        return _File(error=f"file {path}: {error}")


def _path() -> Path:
    return Path(os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config"))  # noqa: PTH111  Path's raises


def _missing(path: Path) -> str:
    folder = path.parent
    if not (os.access(folder / KUBELET_LINK, os.F_OK) and os.access(folder, os.R_OK)):
        return f"file {path} does not exist or can't be read; KUBECONFIG must name one file"
    keys = sorted(one.name for one in folder.iterdir() if not one.name.startswith(".."))
    content = f"the keys {', '.join(keys)}" if keys else "no key"
    return f"the Secret mounted at {folder} has {content}; put the kubeconfig under the key {path.name}"


@lru_cache(maxsize=1)
def _document(path: Path, _modified: int, _inode: int) -> Any:
    """Parse the file once for all clusters: 300 contexts take 0.1 s."""
    return read_yaml(path, MAX_BYTES)


def _in_cluster(cluster: str) -> Access:
    """Return a client for this pod's ServiceAccount. The token file is read before each request."""
    context = Context(cluster, IN_CLUSTER)
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    authority = SERVICE_ACCOUNT / "ca.crt"
    if not (host and port and authority.is_file()):
        context.refuse(
            "this process does not run in a cluster; set source.context to a context of the kubeconfig"
        )
    server = {
        "server": f"https://{f'[{host}]' if ':' in host else host}:{port}",
        "certificate-authority-data": b64encode(authority.read_bytes()).decode("ascii"),
    }
    document = {
        "clusters": [{"name": IN_CLUSTER, "cluster": server}],
        "users": [{"name": IN_CLUSTER, "user": {"tokenFile": str(SERVICE_ACCOUNT / "token")}}],
        "contexts": [{"name": IN_CLUSTER, "context": {"cluster": IN_CLUSTER, "user": IN_CLUSTER}}],
    }
    return _Reader(context).access(document)


def _configuration() -> Configuration:
    """Disable redirects and retries of urllib3: tasks/kube/transport.py decides about them."""
    return Configuration(retries=False, connection_pool_maxsize=MAX_CONNECTIONS, no_proxy="")


class _Reader:
    """Reads a context with its cluster and user, and refuses what is missing, unknown or unsafe."""

    def __init__(
        self, context: Context, *, allow_exec: bool = False, refused: frozenset[str] = frozenset()
    ) -> None:
        """`refused` are keys of the user that are not taken."""
        self._context, self._allow_exec, self._refused = context, allow_exec, refused
        self._refuse, self._decode = context.refuse, context.decode
        self._require_known = context.require_known_keys

    def access(self, document: Any) -> Access:
        if not isinstance(document, dict):
            self._refuse("the file is not a mapping; is it a kubeconfig?")
        context = self._entry(document, "contexts", self._context.name, "context")
        server = self._entry(document, "clusters", context.get("cluster"), "cluster")
        user = self._entry(document, "users", context.get("user"), "user")
        for key in sorted(self._refused & user.keys()):
            self._refuse(f"`{key}` is not taken from a Secret; give a token or a client certificate")
        configuration = _configuration()
        tls = self._server(server, configuration)
        user_auth = Authentication(self._context, configuration, tls, allow_exec=self._allow_exec)
        expires_at = user_auth.configure(user, server)
        client = ApiClient(configuration)
        # One TLS context for all connections. From Configuration's fields, each would parse the CA again.
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls
        return Access(client, expires_at)

    def _entry(self, document: dict[str, Any], section: str, name: object, key: str) -> dict[str, Any]:
        entries = document.get(section)
        listed = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
        found = [entry.get(key) for entry in listed if name and entry.get("name") == name]
        if len(found) != 1 or not isinstance(found[0], dict):
            known = join_limited(sorted(str(e.get("name")) for e in listed)) or "none"
            count = "no" if not found else "not exactly one usable"
            detail = f"{count} {key} of that name in `{section}`"
            self._refuse(f"{detail}; known are: {known}" if section == "contexts" else detail)
        return found[0]

    def _server(self, server: dict[str, Any], configuration: Configuration) -> ssl.SSLContext:
        self._require_known(server, CLUSTER_KEYS, "cluster")
        if server.get("insecure-skip-tls-verify", False) is not False:
            self._refuse("insecure-skip-tls-verify: TLS is always verified; give the cluster's CA instead")
        name = server.get("tls-server-name")
        if name is not None and not (isinstance(name, str) and is_host(name)):
            self._refuse("`tls-server-name` must be a host name")
        configuration.host = self._address(server.get("server"))
        configuration.proxy = None  # after host, which reads a proxy from the environment
        configuration.tls_server_name = name
        try:
            return tls_context(self._decode(server, "certificate-authority-data"))
        except ssl.SSLError:
            self._refuse("`certificate-authority-data` is not a certificate")

    def _address(self, address: Any) -> str:
        try:
            url = urlsplit(address if isinstance(address, str) else "")
            valid = url.scheme == "https" and is_host(url.hostname or "") and url.port != 0
        except ValueError:
            valid = False
        if not valid or "@" in url.netloc or url.query or url.fragment:
            self._refuse("`server` must be an https:// address without user, query or fragment")
        return url.geturl().rstrip("/")
