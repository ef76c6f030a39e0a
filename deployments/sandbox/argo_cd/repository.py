"""Git repositories on this machine, as Argo CD reads them."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
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
_START_SECONDS = 30


class Repository:
    """A bare repository, and a clone of it that somebody works in."""

    def __init__(self, directory: Path) -> None:
        """Create both in this folder, which must not exist."""
        self.bare, self.clone = directory / "bare.git", directory / "clone"
        directory.mkdir()
        self._git(directory, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.bare))
        self._git(directory, "clone", "--quiet", str(self.bare), str(self.clone))
        self._git(self.clone, "checkout", "--quiet", "-B", BRANCH)

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

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


class Server:
    """git's own server of one repository, started by `with`; after a stop it starts at the same address."""

    def __init__(self, repository: Repository) -> None:
        self._bare = repository.bare
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"git://{self.address}/{self._bare.name}"
        self._process: processes.Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        folder = self._bare.parent
        command = ["/usr/bin/env", "git", "daemon", "--export-all", "--reuseaddr", f"--base-path={folder}"]
        where = ["--listen=127.0.0.1", f"--port={self._port}"]
        log = folder / "server.log"
        self._process = processes.spawn([*command, *where], log, folder, _IDENTITY)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.1)
        self.stop()
        raise SandboxError(f"the git repository {self.url} can't be reached:\n{processes.tail(log)}")

    def stop(self) -> None:
        if self._process is not None:
            processes.stop(self._process)
            self._process = None
