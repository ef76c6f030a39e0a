"""Many clusters in front of one real API server: each has an address and an identity of its own.

The proxy is a Go program: one in Python would take most of the cores that are measured.
"""

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from tests.benchmarks import replay
from tests.benchmarks.world import World


@dataclass(frozen=True)
class Fronts:
    addresses: dict[str, str]
    pid: int


@contextmanager
def fronts(world: World, server: str, names: Sequence[str]) -> Iterator[Fronts]:
    """An address for each name. The program stops when its input ends: with the `with`, or with us."""
    pipe = subprocess.PIPE
    with (world.directory / "fronts.log").open("w") as log:
        process = subprocess.Popen(_command(world, server), stdin=pipe, stdout=pipe, stderr=log, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{name} {identity(name)}\n" for name in names) + "\n")
        process.stdin.flush()
        addresses = [process.stdout.readline().split() for _ in names]
        if not all(len(line) == 2 for line in addresses):
            raise SandboxError(f"the fronts did not start; see {world.directory / 'fronts.log'}")
        yield Fronts(dict(addresses), process.pid)


def identity(name: str) -> str:
    """The uid of the namespace kube-system of the cluster with this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _command(world: World, server: str) -> list[str | Path]:
    program = world.directory / "front"
    if not program.exists():
        replay.build(world.directory, "front")
    pair = world.directory / "fronts.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b"".join(world.sandbox.authority.serving()))
    return [program, f"-server={world.sandbox.cluster(server).url}", f"-ca={world.ca}", f"-pair={pair}"]
