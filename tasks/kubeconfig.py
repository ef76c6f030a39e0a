"""Strict reader: one context of a kubeconfig -> one API client. A broken context fails its cluster only.

The official loader goes on anonymously where a user is missing, ignores impersonation, and takes the text
"false" for a yes to insecure-skip-tls-verify. This one accepts what it knows to be safe and names the rest.
No message quotes a value.
"""

import base64
import os
import ssl
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config

from tasks.errors import ClusterError
from tasks.models import Failure
from tasks.reasons import Code
from tasks.yaml_file import YamlError, read_yaml

MAX_BYTES = 8 * 1024 * 1024
CONNECTIONS = 4
"""Kept per cluster: as many as there are threads writing to it."""

FLATTEN = "write it with `kubectl config view --raw --flatten`"
USER_KEYS = frozenset({"token", "tokenFile", "client-certificate-data", "client-key-data"})
CLUSTER_KEYS = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "extensions"}
)


def connect(cluster: str, context: str | None) -> ApiClient:
    """A client for a context of $KUBECONFIG; without a context, for the cluster that this process runs in.

    Raises ClusterError (KubeconfigInvalid) that names the context and the key at fault.
    """
    if context is None:
        return _in_cluster(cluster)
    reader = _Reader(cluster, context)
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    try:
        status = path.stat()
        document = _document(path, status.st_mtime_ns, status.st_ino)
    except OSError:
        reader.refuse(f"file {path} does not exist or can't be read; set KUBECONFIG")
    except YamlError as error:
        reader.refuse(f"file {path}: {error}")
    return reader.client(document)


@lru_cache(maxsize=1)
def _document(path: Path, _modified: int, _inode: int) -> Any:
    """Parsed once for all clusters: each parse of 300 contexts would cost 0.1 s."""
    return read_yaml(path, MAX_BYTES)


def _in_cluster(cluster: str) -> ApiClient:
    configuration = _configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # library
    except (ConfigException, OSError):
        detail = "this process runs in no cluster; set source.context to a context of the kubeconfig"
        _Reader(cluster, "(in cluster)").refuse(detail)
    configuration.proxy = None
    return ApiClient(configuration)


def _configuration() -> Configuration:
    """No redirect is followed and nothing retried in secret: tasks/cluster.py decides that."""
    return Configuration(retries=False, connection_pool_maxsize=CONNECTIONS, no_proxy="")


class _Reader:
    """Walks from a context to its cluster and user, and refuses what is missing, unknown or unsafe."""

    def __init__(self, cluster: str, context: str) -> None:
        self._cluster, self._context = cluster, context

    def refuse(self, detail: str) -> NoReturn:
        what = f"read context {self._context}"
        raise ClusterError(
            Failure(code=Code.KUBECONFIG, cluster=self._cluster, what=what, detail=detail)
        ) from None

    def client(self, document: Any) -> ApiClient:
        if not isinstance(document, dict):
            self.refuse("the file is not a mapping; is it a kubeconfig?")
        context = self._entry(document, "contexts", self._context, "context")
        server = self._entry(document, "clusters", context.get("cluster"), "cluster")
        user = self._entry(document, "users", context.get("user"), "user")
        configuration = _configuration()
        self._server(server, configuration)
        chain = self._user(user, configuration)
        client = ApiClient(configuration)
        if chain:
            self._present(client, configuration, *chain)
        return client

    def _entry(self, document: dict[str, Any], section: str, name: object, key: str) -> dict[str, Any]:
        entries = document.get(section)
        listed = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
        found = [entry.get(key) for entry in listed if name and entry.get("name") == name]
        if len(found) != 1 or not isinstance(found[0], dict):
            known = ", ".join(sorted(str(e.get("name")) for e in listed)) or "none"
            count = "no" if not found else "not exactly one usable"
            detail = f"{count} {key} of that name in `{section}`"
            self.refuse(f"{detail}; known are: {known}" if section == "contexts" else detail)
        return found[0]

    def _server(self, server: dict[str, Any], configuration: Configuration) -> None:
        self._known(server, CLUSTER_KEYS, "cluster")
        address = server.get("server")
        url = urlsplit(address if isinstance(address, str) else "")
        if url.scheme != "https" or not url.hostname or url.username or url.query or url.fragment:
            self.refuse("`server` must be an https:// address without user, query or fragment")
        if server.get("insecure-skip-tls-verify", False) is not False:
            self.refuse("insecure-skip-tls-verify: TLS is always verified; give the cluster's CA instead")
        configuration.host = url.geturl().rstrip("/")
        configuration.proxy = None  # after host, which would take one from the environment
        configuration.ca_cert_data = self._decoded(server, "certificate-authority-data")
        configuration.tls_server_name = server.get("tls-server-name")

    def _user(self, user: dict[str, Any], configuration: Configuration) -> tuple[str, str] | None:
        self._known(user, USER_KEYS, "user")
        token = user.get("token")
        if path := user.get("tokenFile"):
            if token or not isinstance(path, str) or not Path(path).is_absolute():
                self.refuse("`tokenFile` must be an absolute path, without `token` beside it")
            try:
                token = Path(path).read_text("ascii")
            except (OSError, ValueError):
                self.refuse("`tokenFile` names a file that can't be read")
        if token:
            if not isinstance(token, str) or not token.strip().isprintable():
                self.refuse("`token` is not a token")
            configuration.api_key["authorization"] = token.strip()
            configuration.api_key_prefix["authorization"] = "Bearer"
            return None
        if "client-certificate-data" not in user:
            self.refuse("the user has no credential; a request without one would be anonymous")
        return self._decoded(user, "client-certificate-data"), self._decoded(user, "client-key-data")

    def _known(self, mapping: dict[str, Any], keys: frozenset[str], section: str) -> None:
        for key in sorted(set(mapping) - keys, key=str):
            if key in ("certificate-authority", "client-certificate", "client-key"):
                self.refuse(f"`{key}` names a file; {FLATTEN}")
            self.refuse(f"`{key}` of the {section} is not supported; use a ServiceAccount's bound token")

    def _decoded(self, mapping: dict[str, Any], key: str) -> str:
        try:
            text = base64.b64decode(mapping[key], validate=True).decode("ascii")
        except (KeyError, TypeError, ValueError):
            self.refuse(f"`{key}` is missing or not base64; {FLATTEN}")
        return text

    def _present(self, client: ApiClient, configuration: Configuration, chain: str, key: str) -> None:
        """Give the client its certificate. OpenSSL loads one only from a file: written, removed at once."""
        try:
            context = ssl.create_default_context(cadata=configuration.ca_cert_data)
            with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
                file.write(f"{chain}\n{key}")
                file.flush()
                context.load_cert_chain(file.name)
        except (ssl.SSLError, OSError):
            self.refuse("client-certificate-data and client-key-data can't be used together")
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
