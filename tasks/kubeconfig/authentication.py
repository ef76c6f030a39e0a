"""Configures an API client with the credential of a context's user. No message quotes a value."""

import ssl
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tasks.domain.failure_codes import FailureCode
from tasks.kubeconfig.context import Context
from tasks.kubeconfig.exec_plugin import ExecError, run_plugin
from tasks.kubeconfig.expiry import certificate_expiry, token_expiry
from tasks.kubeconfig.sdk import Configuration
from tasks.runtime.files import FileError, private_path, read_file

USER_KEYS = frozenset({"token", "tokenFile", "client-certificate-data", "client-key-data", "exec"})

TOKEN_BYTES = 64 * 1024
"""Maximum number of bytes of a token file. API servers accept far shorter tokens."""


class Authentication:
    """Writes a credential into the configuration of one API client."""

    def __init__(
        self, context: Context, configuration: Configuration, trust: ssl.SSLContext, *, allow_exec: bool
    ) -> None:
        self._refuse, self._decode = context.refuse, context.decode
        self._require_known = context.require_known_keys
        self._configuration, self._trust, self._allow_exec = configuration, trust, allow_exec

    def configure(self, user: dict[str, Any], server: dict[str, Any]) -> datetime | None:
        """Send the user's credential with every request. Returns its expiry, if nothing renews it."""
        self._require_known(user, USER_KEYS, "user")
        if "exec" in user:
            self._run_plugin(user, server)
        elif "tokenFile" in user:
            hook = partial(self._set_token_from, self._token_file(user))
            hook(self._configuration)  # now, so that a missing file is an error before any request
            self._configuration.refresh_api_key_hook = hook  # type: ignore[assignment]  # library
        elif "token" in user:
            token = self._token(user["token"])
            _set_token(self._configuration, token)
            return token_expiry(token)
        elif "client-certificate-data" in user:
            chain, key = (self._decode(user, f"client-{part}-data") for part in ("certificate", "key"))
            self._load_certificate(f"{chain}\n{key}")
            return certificate_expiry(chain)
        else:
            self._refuse("the user has no credential; a request without one would be anonymous")
        return None

    def _run_plugin(self, user: dict[str, Any], server: dict[str, Any]) -> None:
        if not self._allow_exec:
            self._refuse("`exec` runs a program: allow it (allowExec: true), or use a ServiceAccount's token")
        if set(user) != {"exec"} or not isinstance(user["exec"], dict):
            self._refuse("`exec` must be a mapping, without another credential beside it")
        try:
            credential = run_plugin(user["exec"], server)
        except ExecError as error:
            self._refuse(str(error), FailureCode.EXEC_FAILED)
        if credential.token:
            _set_token(self._configuration, self._token(credential.token))
        if credential.certificate:
            self._load_certificate(f"{credential.certificate}\n{credential.key}")

    def _token_file(self, user: dict[str, Any]) -> Path:
        path = user["tokenFile"]
        if "token" in user or not isinstance(path, str) or not Path(path).is_absolute():
            self._refuse("`tokenFile` must be an absolute path, without `token` beside it")
        return Path(path)

    def _set_token_from(self, path: Path, configuration: Configuration) -> None:
        """Called before each request, because the file changes when the token is rotated."""
        _set_token(configuration, self._read_token(path))

    def _read_token(self, path: Path) -> str:
        try:
            return self._token(read_file(path, TOKEN_BYTES).decode("ascii"))
        except FileError as error:
            self._refuse(f"`tokenFile`: {error}")
        except UnicodeDecodeError:
            self._refuse("`tokenFile` names a file that holds no token")

    def _token(self, token: Any) -> str:
        token = token.strip() if isinstance(token, str) else ""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            self._refuse("`token` is empty or not a token; a request without one would be anonymous")
        return str(token)

    def _load_certificate(self, chain_and_key: str) -> None:
        """OpenSSL loads a client certificate only from a path."""
        try:
            with private_path(chain_and_key.encode()) as path:
                self._trust.load_cert_chain(path, password="")
        except ssl.SSLError:
            self._refuse("client-certificate-data and client-key-data are no certificate and its key")
        except OSError:
            self._refuse("the client certificate needs files in memory (memfd), or a writable /tmp")


def _set_token(configuration: Configuration, token: str) -> None:
    configuration.api_key["authorization"] = token
    configuration.api_key_prefix["authorization"] = "Bearer"
