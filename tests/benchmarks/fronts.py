"""Addresses in front of real API servers, each with an identity of its own, and with a delay where wanted.

The proxy is a Go program: one in Python would take most of the cores that are measured.
"""

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deployments.sandbox.errors import SandboxError
from tests.benchmarks import replay
from tests.benchmarks.world import World


class Front(NamedTuple):
    """A cluster to be served. `server` names the cluster behind it, `uid` identifies it."""

    name: str
    server: str
    uid: str


@dataclass(frozen=True)
class Fronts:
    addresses: dict[str, str]
    pid: int


@contextmanager
def fronts(world: World, clusters: Sequence[Front], delay_ms: int = 0) -> Iterator[Fronts]:
    """An address for each cluster. The program stops when its input ends: with the `with`, or with us."""
    pipe, lines = subprocess.PIPE, [_line(world, one) for one in clusters]
    with (world.directory / "fronts.log").open("w") as log:
        command = _command(world, delay_ms)
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(lines) + "\n")
        process.stdin.flush()
        addresses = [process.stdout.readline().split() for _ in lines]
        if not all(len(line) == 2 for line in addresses):
            raise SandboxError(f"the fronts did not start; see {world.directory / 'fronts.log'}")
        yield Fronts(dict(addresses), process.pid)


def identity(name: str) -> str:
    """The uid of the namespace kube-system of the cluster with this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _line(world: World, one: Front) -> str:
    return f"{one.name} {one.uid} {world.sandbox.cluster(one.server).url}\n"


def _command(world: World, delay_ms: int) -> list[str | Path]:
    program = world.directory / "front"
    if not program.exists():
        replay.build(world.directory, "front")
    pair = world.directory / "fronts.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b"".join(world.sandbox.authority.serving()))
    return [program, f"-ca={world.ca}", f"-pair={pair}", f"-delay={delay_ms}ms"]
