"""A git repository on this machine, as Argo CD reads it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deployments.sandbox.errors import SandboxError

BRANCH = "main"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Platform",
    "GIT_AUTHOR_EMAIL": "platform@example.org",
    "GIT_COMMITTER_NAME": "Platform",
    "GIT_COMMITTER_EMAIL": "platform@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repository:
    """A bare repository, and a clone of it that somebody works in."""

    def __init__(self, directory: Path) -> None:
        """Create both in this folder, which must not exist."""
        self._bare, self.clone = directory / "bare.git", directory / "clone"
        directory.mkdir()
        self._git(directory, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self._bare))
        self._git(directory, "clone", "--quiet", str(self._bare), str(self.clone))
        self._git(self.clone, "checkout", "--quiet", "-B", BRANCH)

    @property
    def url(self) -> str:
        return f"file://{self._bare}"

    def push(self, files: Mapping[str, str], message: str) -> str:
        """Write files, commit all that is in the clone, push it, and return the commit."""
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", f"--message={message}")
        self._git(self.clone, "push", "--quiet", "origin", BRANCH)
        return self._git(self.clone, "rev-parse", "HEAD").strip()

    def _git(self, directory: Path, *arguments: str) -> str:
        command = ["/usr/bin/env", "git", *arguments]
        done = subprocess.run(  # noqa: S603 (we name the program)
            command, cwd=directory, env=os.environ | _IDENTITY, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SandboxError(f"git {' '.join(arguments)}:\n{done.stderr}")
        return done.stdout
