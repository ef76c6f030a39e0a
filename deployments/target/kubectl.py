"""Runs the operator's own kubectl. Their credentials stay with it, and what it says on errors stays here.

Its error text could quote what a plugin, a proxy or a server said, so it is read for a few words of
Kubernetes' own, and these are all that is told.
"""

import os
import re
import shlex
import subprocess

from deployments.target.errors import TargetError

_SECONDS = 60
_REQUEST_TIMEOUT = "20s"

_FORBIDDEN = "Forbidden"
_KNOWN = {
    rb'^Error from server \(NotFound\): namespaces "\S*" not found$': "NotFound: create the namespace first",
    rb"^Error from server \(NotFound\)": "NotFound",
    rb"^error: failed to create token: .* not found$": "NotFound: apply the manifests there first",
    rb"^Error from server \(Forbidden\)": _FORBIDDEN,
    rb"^error: failed to create token: .* is forbidden": _FORBIDDEN,
    rb"^Error from server \(Conflict\)": "Conflict: something else changed it meanwhile; try again",
    rb"^error: Apply failed with": "Conflict: something else wrote it, too (--replace)",
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
        """What it prints. No argument may hold a secret: other users of the machine see them."""
        command = ["kubectl", *self._options, *arguments]
        try:
            done = subprocess.run(  # noqa: S603  no shell, and the arguments are ours
                command, input=stdin, capture_output=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError:
            raise TargetError(
                "there is no kubectl in PATH; install it, since it has your credentials"
            ) from None
        except subprocess.TimeoutExpired:
            raise TargetError(f"`{shlex.join(command)}` did not end within {_SECONDS} s") from None
        if done.returncode:
            why = self._why(done.stderr)
            raise TargetError(
                f"`{shlex.join(command)}` ended with exit status {done.returncode}"
                + (f": {why}" if why else "; run it by hand to see why")
            )
        return done.stdout.decode("utf-8", "replace")

    def _why(self, stderr: bytes) -> str:
        known = (told for words, told in _KNOWN.items() if re.search(words, stderr, re.MULTILINE))
        why = next(known, "")
        return f"{why}: {self._whose()}" if why == _FORBIDDEN else why

    def _whose(self) -> str:
        """Most often KUBECONFIG still names that of the runs, which may do next to nothing."""
        told = "this needs an administrator's kubeconfig (--admin-kubeconfig FILE)"
        if self._kubeconfig:
            return f"your kubectl uses --admin-kubeconfig {self._kubeconfig}; {told}"
        path = os.environ.get("KUBECONFIG")
        return f"your kubectl uses {f'KUBECONFIG={path}' if path else '~/.kube/config'}; {told}"
