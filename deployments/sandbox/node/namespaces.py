"""A node's own network, mount and PID namespaces, which all end with one process.

The kernel kills everything in them, containers too, when their first process dies, and that one dies with
this program. So even a SIGKILL leaves no iptables rule, mount, link or process on the machine.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError

_START_SECONDS = 30
_INIT = Path(__file__).with_name("node_init.py")
_KINDS = ("--mount", "--net", "--pid")


class Namespaces:
    """Namespaces to run programs in; `directory` is for their files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory / "init.log"
        self._first: processes.Process | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o700, parents=True)
        options = [*_KINDS, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        init = [sys.executable, "-I", "-S", str(_INIT), str(self.directory)]
        self._first = processes.spawn(["/usr/bin/unshare", *options, *init], self._log, self.directory)
        try:
            self._await_readiness(self._first)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._first is not None:
            processes.stop(self._first)

    @property
    def pid(self) -> int:
        """The machine's process id of the first process."""
        return self._pid

    def spawn(self, command: Sequence[str | Path], log: Path) -> processes.Process:
        return processes.spawn([*self._enter(), *command], log, self.directory)

    def run(self, *command: str | Path) -> str:
        """Run a program to its end, and return what it prints. Raises SandboxError where it fails."""
        done = subprocess.run(  # noqa: S603 (we name the programs)
            [*self._enter(), *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SandboxError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _enter(self) -> list[str]:
        return ["/usr/bin/nsenter", f"--target={self._pid}", *_KINDS, "--"]

    def _await_readiness(self, first: processes.Process) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not (self.directory / "ready").exists():
            if first.poll() is not None or time.monotonic() > deadline:
                raise SandboxError(
                    "can't create the node's namespaces, which takes root on Linux (CAP_SYS_ADMIN):\n"
                    + processes.tail(self._log)
                )
            time.sleep(0.05)
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        self._pid = int(children[0])
