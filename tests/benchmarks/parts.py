"""The parts of the benchmarks, in the order in which they are run, and what they share."""

import compileall
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo.prefect_server import ROOT, PrefectServer, prefect_server
from deployments.sandbox.progress import Say
from tests.benchmarks import (
    choices_lists,
    choices_seat,
    choices_threads,
    clusters_part,
    large,
    more_certificates,
    more_clusters,
    pod,
    renewals,
    replay,
    start,
    whole_run,
)
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World


class Stage:
    """Built once; each part brings OPS to the size that it wants."""

    def __init__(self, world: World, size: Size, say: Say, stack: ExitStack) -> None:
        self.world, self.size, self.say = world, size, say
        self._stack = stack
        self._server: PrefectServer | None = None

    def ordinary(self) -> World:
        self.world.resize(self.size.certificates)
        return self.world

    def flow(self) -> FlowProcess:
        self.server()
        return FlowProcess(self.ordinary())

    def server(self) -> PrefectServer:
        """Started when it is needed first: it would take its share of the cores from what needs none."""
        if self._server is None:
            self.say("starting a Prefect server")
            self._server = self._stack.enter_context(prefect_server(self.world.directory))
            self._server.wait(self.say)
        return self._server


def _clusters(stage: Stage) -> list[Result]:
    world = stage.ordinary()
    program = replay.build(world.directory)
    bench = clusters_part.Bench(world, world.orders(), program, stage.say, stage.size)
    return [clusters_part.first_sync(bench), clusters_part.unchanged(bench)]


def _kubectl(stage: Stage) -> list[Result]:
    return [whole_run.against_kubectl(stage.flow(), stage.say, stage.size)]


def _requests(stage: Stage) -> list[Result]:
    return [whole_run.unchanged_requests(stage.flow(), stage.say)]


def _memory(stage: Stage) -> list[Result]:
    return pod.peaks(stage.flow(), stage.say)


def _watcher(stage: Stage) -> list[Result]:
    return renewals.latencies(stage.ordinary(), stage.server(), stage.say, stage.size.renewals)


def _start(stage: Stage) -> list[Result]:
    flow = stage.flow()
    flow.run()  # everything is in sync, whatever was measured before
    return [start.first_request(flow.world, stage.say, stage.size.starts)]


def _growth(stage: Stage) -> list[Result]:
    stage.server()
    over_certificates = more_certificates.growth(stage.world, stage.size, stage.say)
    return [over_certificates, *more_clusters.growth(stage.world, stage.size, stage.say)]


def _choices(stage: Stage) -> list[Result]:
    listed = choices_lists.compressed(stage.world, stage.size, stage.say)
    threads = choices_threads.threads(stage.world, stage.size, stage.say)
    return [listed, *threads, choices_seat.one_seat(stage.world, stage.size, stage.say)]


def _large(stage: Stage) -> list[Result]:
    stage.server()
    return large.large(stage.world, stage.size, stage.say)


PARTS: dict[str, Callable[[Stage], list[Result]]] = {
    "clusters": _clusters,
    "kubectl": _kubectl,
    "requests": _requests,
    "memory": _memory,
    "watcher": _watcher,
    "start": _start,
    "growth": _growth,
    "choices": _choices,
    "large": _large,  # last: what it leaves behind takes minutes to delete
}
QUICK_PARTS = ("clusters", "kubectl", "requests", "memory", "watcher", "start", "choices")


@contextmanager
def stage(size: Size, directory: Path, say: Say) -> Iterator[Stage]:
    """Real API servers, and a folder for files with keys, which is the caller's to protect."""
    for folder in ("flows", "tasks"):  # as in the image; where Python may not keep it, each run would do it
        compileall.compile_dir(ROOT / folder, quiet=1)
    with Sandbox(say=say) as sandbox, ExitStack() as stack:
        world = World(sandbox, directory)
        world.build()
        yield Stage(world, size, say, stack)
