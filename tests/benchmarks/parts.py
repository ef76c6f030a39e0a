"""The parts of the benchmarks, in the order in which they run, and the clusters that they share."""

import compileall
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo.prefect_server import ROOT, PrefectServer, prefect_server
from deployments.sandbox.progress import Say
from tests.benchmarks import (
    bursts,
    clusters_part,
    keys,
    large,
    many,
    more_certificates,
    more_clusters,
    pod,
    renewals,
    server_cost,
    start,
    watch_vs_floor,
    whole_run,
)
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.growth import worst_cpu
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World


class Stage:
    """Built once; each part brings OPS to the size that it needs."""

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
        """Start it at the first call: it takes a share of the cores from parts that do not use it."""
        if self._server is None:
            self.say("starting a Prefect server")
            self._server = self._stack.enter_context(prefect_server(self.world.directory))
            self._server.wait(self.say)
        return self._server


def _start(stage: Stage) -> list[Result]:
    flow = stage.flow()
    flow.run_in_pod()  # so that the timed runs find nothing to do
    flow.settle(len(flow.world.certificates))
    return start.starts(flow.world, stage.say, stage.size.starts)


def _growth(stage: Stage) -> list[Result]:
    stage.server()
    over_certificates = more_certificates.growth(stage.world, stage.size, stage.say)
    over_clusters, *more = more_clusters.growth(stage.world, stage.size, stage.say)
    grown = [over_certificates, over_clusters]
    return [*grown, worst_cpu(grown), *more]


def _large(stage: Stage) -> list[Result]:
    stage.server()
    return large.large(stage.world, stage.size, stage.say)


def _many(stage: Stage) -> list[Result]:
    stage.server()
    return many.many(stage.world, stage.size, stage.say)


PARTS: dict[str, Callable[[Stage], list[Result]]] = {
    "clusters": lambda stage: clusters_part.compare(stage.ordinary(), stage.say, stage.size),
    "kubectl": lambda stage: [whole_run.against_loop(stage.flow(), stage.say, stage.size)],
    "script": lambda stage: whole_run.against_script(stage.flow(), stage.say, stage.size),
    "requests": lambda stage: [whole_run.unchanged_requests(stage.flow(), stage.say)],
    "keys": lambda stage: [keys.at_rest(stage.flow(), stage.say)],
    "memory": lambda stage: pod.peaks(stage.flow(), stage.say),
    "watcher": lambda s: renewals.latencies(s.ordinary(), s.server(), s.say, s.size.renewals),
    "watch-floor": lambda s: watch_vs_floor.compare(s.world, s.server(), s.say, s.size.floor_renewals),
    "burst": lambda stage: bursts.bursts(stage.world, stage.server().api, stage.say),
    "start": _start,
    "server": lambda s: server_cost.costs(s.world, s.server(), s.say, s.size),
    "growth": _growth,
    "many": _many,
    "large": _large,  # last: its copies take minutes to delete
}
QUICK_PARTS = tuple(name for name in PARTS if name not in ("server", "growth", "many", "large"))


@contextmanager
def stage(size: Size, directory: Path, say: Say) -> Iterator[Stage]:
    """Real API servers. Files with private keys are in `directory`, which the caller must protect."""
    for folder in ("flows", "tasks"):  # as in the image
        compileall.compile_dir(ROOT / folder, quiet=1)
    with Sandbox(say=say) as sandbox, ExitStack() as stack:
        world = World(sandbox, directory)
        world.build()
        yield Stage(world, size, say, stack)
