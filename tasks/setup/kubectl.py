"""Runs the operator's own kubectl, which keeps their credentials.

kubectl's error text may quote a plugin, a proxy or a server, so no message contains it: it is searched for a
few sentences of Kubernetes' own.
"""

import os
import re
import shlex
import subprocess

from tasks.setup.errors import SetupError

_SECONDS = 60
_REQUEST_TIMEOUT = "20s"

_FORBIDDEN = "Forbidden"
_KNOWN = {
    rb'^Error from server \(NotFound\): namespaces "\S*" not found$': "NotFound: create the namespace first",
    rb"^Error from server \(NotFound\)": "NotFound",
    rb"^error: failed to create token: .* not found$": "NotFound: apply the manifests there first",
    rb"^Error from server \(Forbidden\)": _FORBIDDEN,
    rb"^error: failed to create token: .* is forbidden": _FORBIDDEN,
    rb"^Error from server \(Conflict\)": "Conflict: something else has changed it; repeat the command",
    rb"^error: Apply failed with": "Conflict: something else writes it, too (--replace)",
    rb"^error: You must be logged in to the server": "Unauthorized: log in first",
    rb"^Unable to connect to the server": "no connection",
}


class Kubectl:
    """One context of the operator's kubeconfig."""

    def __init__(self, context: str | None = None, kubeconfig: str | None = None) -> None:
        self.context, self._kubeconfig = context, kubeconfig
        self._options = [f"--request-timeout={_REQUEST_TIMEOUT}"]
        self._options += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        self._options += [f"--context={context}"] if context else []

    def contexts(self) -> frozenset[str]:
        names = self.run("config", "get-contexts", "--output=name")
        return frozenset(names.split("\n")) - {""}

    def run(self, *arguments: str, stdin: bytes = b"") -> str:
        """Return what kubectl prints. No argument may be secret: other users of the machine see them."""
        command = ["kubectl", *self._options, *arguments]
        try:
            done = subprocess.run(  # noqa: S603  no shell, and the arguments are ours
                command, input=stdin, capture_output=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError:
            raise SetupError("there is no kubectl in PATH; install it") from None
        except subprocess.TimeoutExpired:
            raise SetupError(f"`{shlex.join(command)}` did not end within {_SECONDS} s") from None
        if done.returncode:
            why = self._why(done.stderr)
            raise SetupError(
                f"`{shlex.join(command)}` ended with exit status {done.returncode}"
                + (f": {why}" if why else "; run it by hand to see why")
            )
        return done.stdout.decode("utf-8", "replace")

    def _why(self, stderr: bytes) -> str:
        known = (reason for text, reason in _KNOWN.items() if re.search(text, stderr, re.MULTILINE))
        why = next(known, "")
        return f"{why}: {self._which()}" if why == _FORBIDDEN else why

    def _which(self) -> str:
        """Return which kubeconfig was used. Most often it is that of the runs, which has few rights."""
        remedy = "this needs an administrator's kubeconfig (--admin-kubeconfig FILE)"
        if self._kubeconfig:
            return f"your kubectl uses --admin-kubeconfig {self._kubeconfig}; {remedy}"
        path = os.environ.get("KUBECONFIG")
        return f"your kubectl uses {f'KUBECONFIG={path}' if path else '~/.kube/config'}; {remedy}"
