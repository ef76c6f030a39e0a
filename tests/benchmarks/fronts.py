"""Many clusters in front of one real API server: each has an address and an identity of its own.

A Go program passes all on; a proxy in Python would take most of the cores that are to be measured.
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
def fronts(world: World, server: str, names: Sequence[str], latency: float = 0.0) -> Iterator[Fronts]:
    """An address for each name, `latency` seconds away; ends with the `with`, and with us: its input does."""
    with (world.directory / "fronts.log").open("w") as log:
        process = subprocess.Popen(
            _command(world, server, latency),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{name} {identity(name)}\n" for name in names) + "\n")
        process.stdin.flush()
        told = [process.stdout.readline().split() for _ in names]
        if not all(len(line) == 2 for line in told):
            raise SandboxError(f"the fronts did not start; see {world.directory / 'fronts.log'}")
        yield Fronts(dict(told), process.pid)


def identity(name: str) -> str:
    """The uid of kube-system that a cluster of this name shows."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _command(world: World, server: str, latency: float) -> list[str | Path]:
    program = world.directory / "front"
    if not program.exists():
        replay.build(world.directory, "front")
    pair = world.directory / "fronts.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b"".join(world.sandbox.authority.serving()))
    url = world.sandbox.cluster(server).url
    return [program, f"-server={url}", f"-ca={world.ca}", f"-pair={pair}", f"-latency={latency}s"]
