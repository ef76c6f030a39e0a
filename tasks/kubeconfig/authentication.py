"""How we show who we are: the user of a kubeconfig's context. No message quotes a value."""

import ssl
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tasks.domain.failure_codes import FailureCode
from tasks.kubeconfig.context import Context
from tasks.kubeconfig.exec_plugin import ExecError, run_plugin
from tasks.kubeconfig.expiry import end_of_certificate, end_of_token
from tasks.kubeconfig.sdk import Configuration
from tasks.runtime.files import FileError, private_path, read_file

USER_KEYS = frozenset({"token", "tokenFile", "client-certificate-data", "client-key-data", "exec"})

TOKEN_BYTES = 64 * 1024
"""Of a token file. An API server takes far less of one."""


class Authentication:
    """Into the settings of one API client."""

    def __init__(
        self, context: Context, configuration: Configuration, trust: ssl.SSLContext, *, allow_exec: bool
    ) -> None:
        self._refuse, self._known, self._decoded = context.refuse, context.known, context.decoded
        self._configuration, self._trust, self._allow_exec = configuration, trust, allow_exec

    def present(
        self,
        user: dict[str, Any],
        server: dict[str, Any],
    ) -> datetime | None:
        """Show a credential with every request; returns when it ends, where nothing renews it by itself."""
        self._known(user, USER_KEYS, "user")
        if "exec" in user:
            self._run_plugin(user, server)
        elif "tokenFile" in user:
            hook = partial(self._show_token_of, self._token_file(user))
            hook(self._configuration)  # now, so that a missing file is an error before any request
            self._configuration.refresh_api_key_hook = hook  # type: ignore[assignment]  # library
        elif "token" in user:
            token = self._token(user["token"])
            _show(self._configuration, token)
            return end_of_token(token)
        elif "client-certificate-data" in user:
            chain, key = (self._decoded(user, f"client-{part}-data") for part in ("certificate", "key"))
            self._present_certificate(f"{chain}\n{key}")
            return end_of_certificate(chain)
        else:
            self._refuse("the user has no credential; a request without one would be anonymous")
        return None

    def _run_plugin(
        self,
        user: dict[str, Any],
        server: dict[str, Any],
    ) -> None:
        if not self._allow_exec:
            self._refuse("`exec` runs a program: allow it (allowExec: true), or use a ServiceAccount's token")
        if set(user) != {"exec"} or not isinstance(user["exec"], dict):
            self._refuse("`exec` must be a mapping, without another credential beside it")
        try:
            given = run_plugin(user["exec"], server)
        except ExecError as error:
            self._refuse(str(error), FailureCode.EXEC_FAILED)
        if given.token:
            _show(self._configuration, self._token(given.token))
        if given.certificate:
            self._present_certificate(f"{given.certificate}\n{given.key}")

    def _token_file(self, user: dict[str, Any]) -> Path:
        path = user["tokenFile"]
        if "token" in user or not isinstance(path, str) or not Path(path).is_absolute():
            self._refuse("`tokenFile` must be an absolute path, without `token` beside it")
        return Path(path)

    def _show_token_of(self, path: Path, configuration: Configuration) -> None:
        """Before each request: the file changes whenever the token is rotated."""
        _show(configuration, self._read_token(path))

    def _read_token(self, path: Path) -> str:
        try:
            return self._token(read_file(path, TOKEN_BYTES).decode("ascii"))
        except FileError as error:
            self._refuse(f"`tokenFile`: {error}")
        except UnicodeDecodeError:
            self._refuse("`tokenFile` names a file in which there is no token")

    def _token(self, token: Any) -> str:
        token = token.strip() if isinstance(token, str) else ""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            self._refuse("`token` is empty or not a token; a request without one would be anonymous")
        return str(token)

    def _present_certificate(self, chain_and_key: str) -> None:
        """OpenSSL loads a client's certificate only from a path."""
        try:
            with private_path(chain_and_key.encode()) as path:
                self._trust.load_cert_chain(path, password="")
        except ssl.SSLError:
            self._refuse("client-certificate-data and client-key-data are no certificate and its key")
        except OSError:
            self._refuse("the client certificate needs files in memory (memfd), or a writable /tmp")


def _show(configuration: Configuration, token: str) -> None:
    configuration.api_key["authorization"] = token
    configuration.api_key_prefix["authorization"] = "Bearer"
