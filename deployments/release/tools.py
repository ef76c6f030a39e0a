"""Calls of programs that publish: skopeo, cosign, Helm, GitHub's own."""

import os
import subprocess
from pathlib import Path

from deployments.release.project import ReleaseError

REGISTRY_VARIABLE = "TLS_SYNC_REGISTRY"


def run_tool(program: str | Path, *arguments: str | Path, stderr: int | None = None) -> str:
    """Run a program, and return what it prints; stderr is shown by default. Raises ReleaseError."""
    command = [program, *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise ReleaseError(f"{program} is not installed") from None
    if done.returncode:
        raise ReleaseError(f"{Path(program).name} {arguments[0]} failed, see above\n{done.stdout}".rstrip())
    return done.stdout


def registry() -> str:
    """Return where images and charts are pushed to, in lower case, as registries want it."""
    found = os.environ.get(REGISTRY_VARIABLE, "").rstrip("/").lower()
    if not found:
        raise ReleaseError(
            f"{REGISTRY_VARIABLE} is not set: it names the registry, as in registry.example.org/team"
        )
    return found
