"""The watcher under many renewals and cut connections: in the end every copy is OPS's, and nothing leaked.

Second part of `make soak`, or `python -m tests.watch_soak --renewals 500 --cuts 10` for a short look.
"""

import argparse
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo.prefect_server import prefect_server
from deployments.sandbox.progress import say
from tests.soak import Figures, conclude, figures
from tests.support.clusters import CLUSTERS, World
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.waiting import until
from tests.support.watcher_process import Arrivals, may_watch, watcher

NAMES = tuple(f"web-{number}-tls" for number in range(20))
PER_SECOND = 25.0
VARIES = Figures(memory_mib=24, descriptors=64, threads=48, temporary_files=2)
"""Its pools grow with the changes that come at once, up to 64 calls and 8 changes, each with connections."""


def soak(world: World, directory: Path, renewals: int, cuts: int, **settings: str) -> tuple[Figures, Figures]:
    """The watcher's figures after a tenth of the renewals, a hundred at least, and after all.

    `settings` are Prefect's.
    """
    temporary = directory / "tmp"
    temporary.mkdir()
    secrets = {one["metadata"]["name"]: one for one in world.issue(*NAMES)}
    arrivals = Arrivals({name: world.admin(name) for name in world.targets})
    proxy = TcpProxy(world.ops.address[1])
    with (
        tcp_proxy(proxy) as url,
        world.reached_at(url, "ops"),
        may_watch(world.ops),
        watcher(directory, TMPDIR=str(temporary), **settings) as process,
    ):
        until("the watcher's start", lambda: all(map(arrivals.are_complete, secrets.values())))
        early = late = figures(process.process.pid, temporary)
        for number, name in enumerate(islice(cycle(NAMES), renewals), start=1):
            begin = time.monotonic()
            secrets[name] = world.renew(secrets[name])
            if cuts and number % max(1, renewals // cuts) == 0:
                proxy.hang_up()
            if number == max(100, renewals // 10):  # by then, each pool of connections is as large as it gets
                early = figures(process.process.pid, temporary)
            if sys.stderr.isatty() or number % 1000 == 0:
                sys.stderr.write(f"\r{number} of {renewals} renewals  ")
            time.sleep(max(0.0, begin + 1 / PER_SECOND - time.monotonic()))
        sys.stderr.write("\n")
        until("every copy", lambda: all(map(arrivals.are_complete, secrets.values())))
        late = figures(process.process.pid, temporary)
    arrivals.close()
    assert process.process.returncode == 0, process.output[-2000:]
    assert "Traceback" not in process.output, process.output[-2000:]
    wrong = [name for name, secret in secrets.items() if not world.is_everywhere(secret)]
    assert not wrong, f"copies that are not OPS's: {wrong}"
    return early, late


def main() -> int:
    """Exit status 1 where a figure grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.watch_soak", description=__doc__)
    parser.add_argument("--renewals", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=200, help="times that all connections to OPS are cut")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Sandbox(CLUSTERS) as sandbox,
        prefect_server(Path(directory)) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.wait(say)
        world = World(sandbox, Path(directory), patch)
        early, late = soak(world, Path(directory), given.renewals, given.cuts, PREFECT_API_URL=server.api)
    done = f"{given.renewals} renewals, connections cut {given.cuts} times, every copy is OPS's"
    return conclude(done, early, late, VARIES)


if __name__ == "__main__":
    sys.exit(main())
