"""The floor: a Go program that sends recorded requests over HTTP/2 and does nothing else."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from deployments.sandbox.errors import SandboxError

SOURCES = Path(__file__).parent
CONCURRENCIES = (2, 4, 8, 16)
"""Concurrent requests per cluster that are tried; the fastest is the floor."""


@dataclass(frozen=True)
class Floor:
    program: Path
    ca: Path
    requests: Path
    concurrency: int = CONCURRENCIES[0]

    def at(self, concurrency: int) -> "Floor":
        return replace(self, concurrency=concurrency)

    def run(self, passes: int = 1) -> list[float]:
        """Seconds of each pass, without the program's start. The first pass opens the connections."""
        command = [
            str(self.program),
            f"-requests={self.requests}",
            f"-ca={self.ca}",
            f"-concurrency={self.concurrency}",
            f"-passes={passes}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise SandboxError(f"the floor failed: {done.stderr.strip()}")
        return [float(line) for line in done.stdout.split()]


def build(directory: Path, name: str = "floor") -> Path:
    """Compile a program that needs no module but Go's own."""
    go = shutil.which("go")
    if go is None:
        raise SandboxError(f"{name} is a Go program: install Go 1.25 or newer (https://go.dev/dl).")
    program = directory / name
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    command = [go, "build", "-trimpath", "-o", str(program), "."]
    source = SOURCES / name
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"go build of {name} failed: {done.stderr.strip()}")
    return program
