"""Strict reader: one context of a kubeconfig -> one API client. A broken context fails its cluster only.

The official loader goes on anonymously where a user is missing, ignores impersonation, and takes the text
"false" for a yes to insecure-skip-tls-verify. This one accepts what it knows to be safe and names the rest.
No message quotes a value.
"""

import base64
import os
import ssl
import tempfile
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config

from tasks.credentials import end_of_certificate, end_of_token
from tasks.errors import ClusterError
from tasks.exec_plugin import ExecError, run_plugin
from tasks.models import Failure
from tasks.names import is_host
from tasks.reasons import Code
from tasks.yaml_file import YamlError, read_yaml

MAX_BYTES = 8 * 1024 * 1024
CONNECTIONS = 4
"""Kept per cluster: as many as there are threads writing to it."""

FLATTEN = "write it with `kubectl config view --raw --flatten`"
USER_KEYS = frozenset({"token", "tokenFile", "client-certificate-data", "client-key-data", "exec"})
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
    reader = _Reader(cluster, context, allow_exec=allow_exec)
    return reader.access(_read(reader))


def contexts() -> tuple[str, ...]:
    """The names of all contexts of $KUBECONFIG. Raises ClusterError as `connect` does."""
    reader = _Reader("any", "of any name")
    document = _read(reader)
    listed = document.get("contexts") if isinstance(document, dict) else None
    entries = listed if isinstance(listed, list) else []
    return tuple(str(one["name"]) for one in entries if isinstance(one, dict) and one.get("name"))


def _read(reader: "_Reader") -> Any:
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    try:
        status = path.stat()
        return _document(path, status.st_mtime_ns, status.st_ino)
    except OSError:
        reader.refuse(f"file {path} does not exist or can't be read; KUBECONFIG must name one file")
    except YamlError as error:
        reader.refuse(f"file {path}: {error}")


@lru_cache(maxsize=1)
def _document(path: Path, _modified: int, _inode: int) -> Any:
    """Parsed once for all clusters: each parse of 300 contexts would cost 0.1 s."""
    return read_yaml(path, MAX_BYTES)


def _in_cluster(cluster: str) -> Access:
    configuration = _configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # library
    except (ConfigException, OSError):
        detail = "this process runs in no cluster; set source.context to a context of the kubeconfig"
        _Reader(cluster, "(in cluster)").refuse(detail)
    configuration.proxy = None
    return Access(ApiClient(configuration))  # which reads the token anew by itself


def _configuration() -> Configuration:
    """No redirect is followed and nothing retried in secret: tasks/cluster.py decides that."""
    return Configuration(retries=False, connection_pool_maxsize=CONNECTIONS, no_proxy="")


class _Reader:
    """Walks from a context to its cluster and user, and refuses what is missing, unknown or unsafe."""

    def __init__(self, cluster: str, context: str, *, allow_exec: bool = False) -> None:
        self._cluster, self._context, self._allow_exec = cluster, context, allow_exec

    def refuse(self, detail: str, code: Code = Code.KUBECONFIG) -> NoReturn:
        what, transient = f"read context {self._context}", code is Code.EXEC_FAILED
        raise ClusterError(
            Failure(code=code, cluster=self._cluster, what=what, detail=detail, transient=transient)
        ) from None

    def access(self, document: Any) -> Access:
        if not isinstance(document, dict):
            self.refuse("the file is not a mapping; is it a kubeconfig?")
        context = self._entry(document, "contexts", self._context, "context")
        server = self._entry(document, "clusters", context.get("cluster"), "cluster")
        user = self._entry(document, "users", context.get("user"), "user")
        configuration = _configuration()
        trust = self._server(server, configuration)
        ends = self._user(user, server, configuration, trust)
        client = ApiClient(configuration)
        # One context for all connections; with the configuration's own fields, each would parse the CA anew.
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = trust
        return Access(client, ends)

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

    def _server(self, server: dict[str, Any], configuration: Configuration) -> ssl.SSLContext:
        self._known(server, CLUSTER_KEYS, "cluster")
        if server.get("insecure-skip-tls-verify", False) is not False:
            self.refuse("insecure-skip-tls-verify: TLS is always verified; give the cluster's CA instead")
        name = server.get("tls-server-name")
        if name is not None and not isinstance(name, str):
            self.refuse("`tls-server-name` must be a host name")
        configuration.host = self._address(server.get("server"))
        configuration.proxy = None  # after host, which would take one from the environment
        configuration.tls_server_name = name
        try:
            return ssl.create_default_context(cadata=self._decoded(server, "certificate-authority-data"))
        except ssl.SSLError:
            self.refuse("`certificate-authority-data` is not a certificate")

    def _address(self, address: Any) -> str:
        try:
            url = urlsplit(address if isinstance(address, str) else "")
            fits = url.scheme == "https" and is_host(url.hostname or "") and url.port != 0
        except ValueError:
            fits = False
        if not fits or "@" in url.netloc or url.query or url.fragment:
            self.refuse("`server` must be an https:// address without user, query or fragment")
        return url.geturl().rstrip("/")

    def _user(
        self,
        user: dict[str, Any],
        server: dict[str, Any],
        configuration: Configuration,
        trust: ssl.SSLContext,
    ) -> datetime | None:
        """Show a credential with every request; returns when it ends, where nothing renews it by itself."""
        self._known(user, USER_KEYS, "user")
        if "exec" in user:
            self._run_plugin(user, server, configuration, trust)
        elif "tokenFile" in user:
            hook = partial(self._show_token_of, self._token_file(user))
            hook(configuration)  # now, so that a missing file is an error before any request
            configuration.refresh_api_key_hook = hook  # type: ignore[assignment]  # library
        elif "token" in user:
            token = self._token(user["token"])
            _show(configuration, token)
            return end_of_token(token)
        elif "client-certificate-data" in user:
            chain, key = (self._decoded(user, f"client-{part}-data") for part in ("certificate", "key"))
            self._present(trust, f"{chain}\n{key}")
            return end_of_certificate(chain)
        else:
            self.refuse("the user has no credential; a request without one would be anonymous")
        return None

    def _run_plugin(
        self,
        user: dict[str, Any],
        server: dict[str, Any],
        configuration: Configuration,
        trust: ssl.SSLContext,
    ) -> None:
        if not self._allow_exec:
            self.refuse("`exec` runs a program: allow it (allowExec: true), or use a ServiceAccount's token")
        if set(user) != {"exec"} or not isinstance(user["exec"], dict):
            self.refuse("`exec` must be a mapping, without another credential beside it")
        try:
            given = run_plugin(user["exec"], server)
        except ExecError as error:
            self.refuse(str(error), Code.EXEC_FAILED)
        if given.token:
            _show(configuration, self._token(given.token))
        if given.certificate:
            self._present(trust, f"{given.certificate}\n{given.key}")

    def _token_file(self, user: dict[str, Any]) -> Path:
        path = user["tokenFile"]
        if "token" in user or not isinstance(path, str) or not Path(path).is_absolute():
            self.refuse("`tokenFile` must be an absolute path, without `token` beside it")
        return Path(path)

    def _show_token_of(self, path: Path, configuration: Configuration) -> None:
        """Before each request: the file changes whenever the token is rotated."""
        _show(configuration, self._read_token(path))

    def _read_token(self, path: Path) -> str:
        try:
            return self._token(path.read_text("ascii"))
        except (OSError, ValueError):
            self.refuse("`tokenFile` names a file that can't be read")

    def _token(self, token: Any) -> str:
        token = token.strip() if isinstance(token, str) else ""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            self.refuse("`token` is empty or not a token; a request without one would be anonymous")
        return str(token)

    def _known(self, mapping: dict[str, Any], keys: frozenset[str], section: str) -> None:
        for key in sorted(set(mapping) - keys, key=str):
            if key in ("certificate-authority", "client-certificate", "client-key"):
                self.refuse(f"`{key}` names a file; {FLATTEN}")
            self.refuse(f"`{key}` of the {section} is not supported; use a ServiceAccount's bound token")

    def _decoded(self, mapping: dict[str, Any], key: str) -> str:
        try:
            text = base64.b64decode(mapping[key], validate=True).decode("ascii")
        except (KeyError, TypeError, ValueError):
            text = ""
        if not text.strip():  # an empty CA would mean all those that the system trusts
            self.refuse(f"`{key}` is missing, empty or not base64; {FLATTEN}")
        return text

    def _present(self, trust: ssl.SSLContext, chain_and_key: str) -> None:
        """OpenSSL loads a client's certificate only from a file: written, read and removed at once."""
        try:
            with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
                file.write(chain_and_key)
                file.flush()
                trust.load_cert_chain(file.name, password="")
        except ssl.SSLError:
            self.refuse("client-certificate-data and client-key-data are no certificate and its key")
        except OSError:
            self.refuse("the client certificate needs a writable /tmp for a moment")


def _show(configuration: Configuration, token: str) -> None:
    configuration.api_key["authorization"] = token
    configuration.api_key_prefix["authorization"] = "Bearer"
