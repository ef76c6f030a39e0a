"""Many runs with a third of the calls failing: nothing piles up, and in the end everything has converged.

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
from tests.support.fault_proxy import LOST, Answer, FaultProxy, Forward, Request

NAMES = tuple(f"web-{number}-tls" for number in range(6))
FAULTS = (LOST, Answer(429), Answer(500), Answer(503), Answer(409), Answer(403), Answer(200, b"<html>"))


class Figures(NamedTuple):
    """What must not grow."""

    memory_mib: float
    descriptors: int
    threads: int
    temporary_files: int


def figures(pid: int | None = None, folder: Path | None = None) -> Figures:
    """Of a process, and its folder for temporary files; of this one by default."""
    if pid is None:
        gc.collect()
    process = Path("/proc") / str(pid or "self")
    pages = int((process / "statm").read_text().split()[1])
    folders = (process / "fd", process / "task", folder or Path(tempfile.gettempdir()))
    descriptors, threads, files = (sum(1 for _ in one.iterdir()) for one in folders)
    return Figures(round(pages * os.sysconf("SC_PAGE_SIZE") / 1024**2, 1), descriptors, threads, files)


def unreliable(chance: random.Random) -> object:
    def fault(_: Request, forward: Forward) -> Answer | None:
        trouble = chance.random()
        if trouble > 1 / 3:
            return forward()
        if trouble < 1 / 12:
            forward()  # it takes place, and the answer is lost
            return LOST
        return chance.choice(FAULTS)

    return fault


def soak(world: World, runs: int) -> tuple[Figures, Figures, int]:
    """Figures after a tenth of the runs and after all, and how many runs had a failure."""
    # Temporary files in a folder of our own: other programs use /tmp, too.
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
                break_down(proxy, chance)
            name = chance.choice(NAMES)
            secrets[name] = world.renew(secrets[name])
            oracle.look()
            reports = world.run(30)
            failed += not all(report.ok for report in reports.values())
            object_to(oracle.objections() + unwritten(oracle, reports))
            if number == max(1, runs // 10):
                early = figures()
            sys.stderr.write(f"\r{number} of {runs} runs, {failed} with a failure  ")
    late = figures()
    sys.stderr.write("\n")
    assert all(report.ok for report in world.run().values()), "the last run did not heal everything"
    object_to(oracle.objections() + oracle.differences())
    oracle.look()
    assert all(report.ok for report in world.run().values()), "a run at rest failed"
    object_to(oracle.writes_tried())
    return early, late, failed


def unwritten(oracle: Oracle, reports: dict[str, ClusterReport]) -> list[str]:
    """What was reported as written and is not in the audit log; where answers get lost, more can be there."""
    told = {
        cluster: {f"{change.target}" for change in report.changes if change.applied}
        for cluster, report in reports.items()
    }
    return [
        f"{cluster}: {target} was not written"
        for cluster, targets in told.items()
        for target in sorted(targets - set(oracle.written(cluster)))
    ]


def object_to(objections: list[str]) -> None:
    assert not objections, "\n".join(objections)


def break_down(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.fault = unreliable(chance)  # type: ignore[assignment]
    proxy.requests.clear()


def grew(early: Figures, late: Figures) -> list[str]:
    """What grew by more than noise."""
    slack = Figures(memory_mib=24, descriptors=8, threads=8, temporary_files=2)
    return [
        f"{name}: {before} -> {after}"
        for name, before, after, more in zip(Figures._fields, early, late, slack, strict=True)
        if after > before + more
    ]


def conclude(done: str, early: Figures, late: Figures) -> int:
    """Say how it went; 1 where something piled up."""
    piled_up = grew(early, late)
    print(f"{done}\nafter a tenth: {early}\nafter all:     {late}")  # noqa: T201
    print("piled up: " + ", ".join(piled_up) if piled_up else "nothing piled up")  # noqa: T201
    return 1 if piled_up else 0


def main() -> int:
    """Exit status 1 where something piled up."""
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
