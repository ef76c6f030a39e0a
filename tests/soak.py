"""Many runs with a third of the requests failing: no resource leaks, and in the end all copies are OPS's.

`make soak`, or `python -m tests.soak --runs 20` for a short look.
"""

import argparse
import gc
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world.invariants import Oracle
from tasks.domain.models import ClusterReport
from tasks.kube import transport
from tests.support.clusters import CLUSTERS, World
from tests.support.fault_proxy import LOST, Answer, Fault, Forward, Request

NAMES = tuple(f"web-{number}-tls" for number in range(6))
FAULTS = (LOST, Answer(429), Answer(500), Answer(503), Answer(409), Answer(403), Answer(200, b"<html>"))


class Figures(NamedTuple):
    """Resources that must not grow."""

    memory_mib: float
    descriptors: int
    threads: int
    temporary_files: int


def figures(pid: int | None = None, folder: Path | None = None) -> Figures:
    """Of a process and its folder for temporary files; by default, of this process."""
    if pid is None:
        gc.collect()
    process = Path("/proc") / str(pid or "self")
    pages = int((process / "statm").read_text().split()[1])
    folders = (process / "fd", process / "task", folder or Path(tempfile.gettempdir()))
    descriptors, threads, files = (sum(1 for _ in one.iterdir()) for one in folders)
    return Figures(round(pages * os.sysconf("SC_PAGE_SIZE") / 1024**2, 1), descriptors, threads, files)


def unreliable(chance: random.Random) -> Fault:
    def fault(_: Request, forward: Forward) -> Answer | None:
        share = chance.random()
        if share > 1 / 3:
            return forward()
        if share < 1 / 12:
            forward()  # the server handles the request, and its response is lost
            return LOST
        return chance.choice(FAULTS)

    return fault


def soak(world: World, runs: int) -> tuple[Figures, Figures, int]:
    """Figures after a tenth of the runs and after all, and how many runs had a failure."""
    # Temporary files are in a folder of our own, as other programs use /tmp.
    with tempfile.TemporaryDirectory() as own, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", own)
        return _soak(world, runs)


def _soak(world: World, runs: int) -> tuple[Figures, Figures, int]:
    chance, failed = random.Random(7), 0
    secrets = {secret["metadata"]["name"]: secret for secret in world.issue(*NAMES)}
    world.add_neighbours()
    early, oracle = figures(), world.oracle()
    with world.proxy("dev") as dev, world.proxy("rct") as rct:
        for number in range(1, runs + 1):
            for proxy in (dev, rct):
                proxy.fault = unreliable(chance)
                proxy.requests.clear()
            name = chance.choice(NAMES)
            secrets[name] = world.renew(secrets[name])
            oracle.look()
            reports = world.run(30)
            failed += not all(report.ok for report in reports.values())
            require_none(oracle.objections() + unwritten(oracle, reports))
            if number == max(1, runs // 10):
                early = figures()
            sys.stderr.write(f"\r{number} of {runs} runs, {failed} with a failure  ")
    late = figures()
    sys.stderr.write("\n")
    assert all(report.ok for report in world.run().values()), "the last run left a failure"
    require_none(oracle.objections() + oracle.differences())
    oracle.look()
    assert all(report.ok for report in world.run().values()), "a run with nothing to do failed"
    require_none(oracle.writes_tried())
    return early, late, failed


def unwritten(oracle: Oracle, reports: dict[str, ClusterReport]) -> list[str]:
    """Reported writes that the audit log does not have. It may have more, where responses were lost."""
    return [
        f"{cluster}: {target} was not written"
        for cluster, report in reports.items()
        for target in sorted(
            {f"{change.target}" for change in report.changes if change.applied} - set(oracle.written(cluster))
        )
    ]


def require_none(objections: list[str]) -> None:
    assert not objections, "\n".join(objections)


VARIES = Figures(memory_mib=24, descriptors=8, threads=8, temporary_files=2)
"""By how much the figures of runs vary."""


def grew(early: Figures, late: Figures, slack: Figures = VARIES) -> list[str]:
    """Figures that grew by more than they vary."""
    return [
        f"{name}: {before} -> {after}"
        for name, before, after, more in zip(Figures._fields, early, late, slack, strict=True)
        if after > before + more
    ]


def conclude(done: str, early: Figures, late: Figures, slack: Figures = VARIES) -> int:
    """Print the figures; return exit status 1 where one grew."""
    grown = grew(early, late, slack)
    print(f"{done}\nafter a tenth: {early}\nafter all:     {late}")  # noqa: T201
    print("grew: " + ", ".join(grown) if grown else "nothing grew")  # noqa: T201
    return 1 if grown else 0


def main() -> int:
    """Exit status 1 where a figure grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    transport.CONNECT_SECONDS, transport.READ_SECONDS = 1.0, 2.0
    with (
        tempfile.TemporaryDirectory() as directory,
        Sandbox(CLUSTERS) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        early, late, failed = soak(World(sandbox, Path(directory), patch), runs)
    return conclude(f"{runs} runs, {failed} with a failure, all converged", early, late)


if __name__ == "__main__":
    sys.exit(main())
