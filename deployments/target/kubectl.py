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

_REASON = re.compile(rb"^Error from server \((NotFound|Forbidden|AlreadyExists|Conflict)\)", re.MULTILINE)
_OTHERS = {
    b"Unable to connect to the server": "no connection",
    b"You must be logged in to the server": "Unauthorized",
    b"Apply failed with": "Conflict",
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
    if found := _REASON.search(stderr):
        return found[1].decode()
    return next((told for words, told in _OTHERS.items() if words in stderr), "")
