"""Strict reader: one context of a kubeconfig -> one API client. A broken context fails its cluster only.

The official loader goes on anonymously where a user is missing, ignores impersonation, and takes the text
"false" for a yes to insecure-skip-tls-verify. This one accepts what it knows to be safe and names the rest.
No message quotes a value.
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
from tasks.runtime.tls import verifying
from tasks.runtime.yaml_file import YamlError, read_yaml

MAX_BYTES = 8 * 1024 * 1024
CONNECTIONS = 4
"""Kept per cluster: as many as there are threads writing to it."""
MOUNTED = "..data"
"""What kubelet keeps in the folder of a mounted Secret."""

IN_CLUSTER = "(in cluster)"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

CLUSTER_KEYS = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "extensions"}
)


class Access(NamedTuple):
    """The way to one API server."""

    api: ApiClient
    ends: datetime | None = None
    """When the credential ends, where that is known and nothing renews it by itself."""


def connect(cluster: str, context: str | None, *, allow_exec: bool = False) -> Access:
    """The way to a context of $KUBECONFIG; without a context, to the cluster that this process runs in.

    Raises ClusterError: KubeconfigInvalid names the context and the key at fault, ExecPluginFailed may pass.
    """
    if context is None:
        return _in_cluster(cluster)
    read = Context(cluster, context)
    return _Reader(read, allow_exec=allow_exec).access(_read(read))


def accepted(cluster: str, context: str, document: Any) -> Access:
    """The way to a context of a kubeconfig that is in no file yet. Raises ClusterError as `connect` does."""
    return _Reader(Context(cluster, context)).access(document)


def contexts() -> tuple[str, ...]:
    """The names of all contexts of $KUBECONFIG. Raises ClusterError as `connect` does."""
    document = _read(Context("any", "of any name"))
    listed = document.get("contexts") if isinstance(document, dict) else None
    entries = listed if isinstance(listed, list) else []
    return tuple(str(one["name"]) for one in entries if isinstance(one, dict) and one.get("name"))


def identity() -> tuple[object, ...]:
    """What changes where $KUBECONFIG is another file, or was written anew; empty where it can't be read."""
    path = _path()
    try:
        status = path.stat()
    except OSError:
        return ()
    return path, status.st_mtime_ns, status.st_ino


class _File(NamedTuple):
    """What was found: a document, or the trouble with it."""

    document: Any = None
    trouble: str = ""


_held: ContextVar[_File | None] = ContextVar("_held", default=None)


@contextmanager
def held() -> Iterator[None]:
    """Meanwhile the file counts as it is now, here and in the tasks begun here, whatever becomes of it.

    A run sees one kubeconfig from its first cluster to its last retry; the next run sees the next one.
    """
    token = _held.set(_look())
    try:
        yield
    finally:
        _held.reset(token)


def _read(context: Context) -> Any:
    file = _held.get() or _look()
    if file.trouble:
        context.refuse(file.trouble)
    return file.document


def _look() -> _File:
    path = _path()
    try:
        status = path.stat()
        return _File(_document(path, status.st_mtime_ns, status.st_ino))
    except OSError:
        return _File(trouble=_missing(path))
    except YamlError as error:
        return _File(trouble=f"file {path}: {error}")


def _path() -> Path:
    return Path(os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config"))  # noqa: PTH111  Path's raises


def _missing(path: Path) -> str:
    folder = path.parent
    if not (os.access(folder / MOUNTED, os.F_OK) and os.access(folder, os.R_OK)):
        return f"file {path} does not exist or can't be read; KUBECONFIG must name one file"
    keys = sorted(one.name for one in folder.iterdir() if not one.name.startswith(".."))
    held = f"the keys {', '.join(keys)}" if keys else "no key"
    return f"the Secret mounted at {folder} has {held}; put the kubeconfig under the key {path.name}"


@lru_cache(maxsize=1)
def _document(path: Path, _modified: int, _inode: int) -> Any:
    """Parsed once for all clusters: each parse of 300 contexts would cost 0.1 s."""
    return read_yaml(path, MAX_BYTES)


def _in_cluster(cluster: str) -> Access:
    """As this pod's ServiceAccount, by what kubelet mounts; the token is read before each request."""
    context = Context(cluster, IN_CLUSTER)
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    authority = SERVICE_ACCOUNT / "ca.crt"
    if not (host and port and authority.is_file()):
        context.refuse("this process runs in no cluster; set source.context to a context of the kubeconfig")
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
    """No redirect is followed and nothing retried in secret: tasks/kube/client.py decides that."""
    return Configuration(retries=False, connection_pool_maxsize=CONNECTIONS, no_proxy="")


class _Reader:
    """Walks from a context to its cluster and user, and refuses what is missing, unknown or unsafe."""

    def __init__(self, context: Context, *, allow_exec: bool = False) -> None:
        self._context, self._allow_exec = context, allow_exec
        self._refuse, self._known, self._decoded = context.refuse, context.known, context.decoded

    def access(self, document: Any) -> Access:
        if not isinstance(document, dict):
            self._refuse("the file is not a mapping; is it a kubeconfig?")
        context = self._entry(document, "contexts", self._context.name, "context")
        server = self._entry(document, "clusters", context.get("cluster"), "cluster")
        user = self._entry(document, "users", context.get("user"), "user")
        configuration = _configuration()
        trust = self._server(server, configuration)
        shown = Authentication(self._context, configuration, trust, allow_exec=self._allow_exec)
        ends = shown.present(user, server)
        client = ApiClient(configuration)
        # One context for all connections; with the configuration's own fields, each would parse the CA anew.
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = trust
        return Access(client, ends)

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
        self._known(server, CLUSTER_KEYS, "cluster")
        if server.get("insecure-skip-tls-verify", False) is not False:
            self._refuse("insecure-skip-tls-verify: TLS is always verified; give the cluster's CA instead")
        name = server.get("tls-server-name")
        if name is not None and not (isinstance(name, str) and is_host(name)):
            self._refuse("`tls-server-name` must be a host name")
        configuration.host = self._address(server.get("server"))
        configuration.proxy = None  # after host, which would take one from the environment
        configuration.tls_server_name = name
        try:
            return verifying(self._decoded(server, "certificate-authority-data"))
        except ssl.SSLError:
            self._refuse("`certificate-authority-data` is not a certificate")

    def _address(self, address: Any) -> str:
        try:
            url = urlsplit(address if isinstance(address, str) else "")
            fits = url.scheme == "https" and is_host(url.hostname or "") and url.port != 0
        except ValueError:
            fits = False
        if not fits or "@" in url.netloc or url.query or url.fragment:
            self._refuse("`server` must be an https:// address without user, query or fragment")
        return url.geturl().rstrip("/")
