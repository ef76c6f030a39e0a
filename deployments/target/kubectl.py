"""Runs the operator's own kubectl. Their credentials stay with it, and what it says on errors stays here.

Its error text could quote what a plugin, a proxy or a server said, so it is read for a few words of
Kubernetes' own, and these are all that is told.
"""

import re
import shlex
import subprocess

from deployments.target.errors import TargetError

_SECONDS = 60
_REQUEST_TIMEOUT = "20s"

_KNOWN = {
    rb'^Error from server \(NotFound\): namespaces "\S*" not found$': "NotFound: create the namespace first",
    rb"^Error from server \(NotFound\)": "NotFound",
    rb"^error: failed to create token: .* not found$": "NotFound: apply the manifests there first",
    rb"^Error from server \(Forbidden\)": "Forbidden",
    rb"^error: failed to create token: .* is forbidden": "Forbidden",
    rb"^Error from server \(Conflict\)": "Conflict: something else changed it meanwhile; try again",
    rb"^error: Apply failed with": "Conflict: something else wrote it, too (--replace)",
    rb"^error: You must be logged in to the server": "Unauthorized: log in first",
    rb"^Unable to connect to the server": "no connection",
}


class Kubectl:
    """One context of the operator's kubeconfig."""

    def __init__(self, context: str | None = None, kubeconfig: str | None = None) -> None:
        self._options = [f"--request-timeout={_REQUEST_TIMEOUT}"]
        self._options += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        self._options += [f"--context={context}"] if context else []

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
            why = _why(done.stderr)
            raise TargetError(
                f"`{shlex.join(command)}` ended with exit status {done.returncode}"
                + (f": {why}" if why else "; run it by hand to see why")
            )
        return done.stdout.decode("utf-8", "replace")


def _why(stderr: bytes) -> str:
    return next((told for words, told in _KNOWN.items() if re.search(words, stderr, re.MULTILINE)), "")
