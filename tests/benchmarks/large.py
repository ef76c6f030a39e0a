"""1,000 certificates, each on 50 clusters: a pod's memory and CPU, and the requests of one renewal."""

from typing import Any

from deployments.sandbox.progress import Say
from tests.benchmarks.comparison import seconds_at_most
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.flow_process import SELDOM_IN_POD, Run, median_facts
from tests.benchmarks.memory import Peak
from tests.benchmarks.pod import together
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World

POD_MIB, FIRST_POD_MIB, CPU_S = 145, 152, 5.0
PER_CLUSTER, PER_CERTIFICATE = 3, 2
"""Requests for one renewed copy: review the permissions, read the Secret from OPS, apply the copy. Once for
all clusters, those that decide: read the Secret and its Certificate."""


def large(world: World, size: Size, say: Say) -> list[Result]:
    """To tls-sync each cluster is another one; one real API server stands behind them all."""
    world.resize(size.large_certificates)
    with fleet(world, size.large_clusters, say, everything=True) as many:
        first, unchanged, renewed = _runs(many, size.large_unchanged, say)
    what = f"{size.large_certificates} certificates x {size.large_clusters} clusters"
    facts = {"copies": size.large_certificates * size.large_clusters}
    peak = max((run.peak for run in unchanged), key=lambda one: one.together_kib)
    return [
        _peak("peak_pod_large_mib", f"{what}, unchanged", peak, POD_MIB, facts | median_facts(unchanged)),
        _peak(
            "peak_pod_large_first_mib", f"{what}, first sync", first.peak, FIRST_POD_MIB, facts | first.facts
        ),
        seconds_at_most(
            "unchanged_large_cpu_s",
            f"{what}, unchanged: CPU of a pod without imports",
            [run.cpu - run.start.cpu for run in unchanged],
            CPU_S,
        ).with_details({"whole_runs": [run.facts for run in unchanged]}),
        _renewal(size, unchanged[-1], renewed),
    ]


def _runs(many: Fleet, repetitions: int, say: Say) -> tuple[Run, list[Run], Run]:
    """As in a pod. Only the unchanged run is repeated: the first one makes tens of thousands of copies."""
    flow = many.flow(len(many.names))

    def run() -> Run:
        return flow.counted(lambda: flow.run_in_pod(SELDOM_IN_POD, say))

    say(f"large: {len(many.names) * len(many.world.certificates)} copies, as in a pod; some minutes")
    first = run()
    say(f"large: first sync {first.seconds} s; now the runs that write notes")
    flow.settle(len(many.world.certificates))
    say(f"large: now unchanged, {repetitions} times")
    unchanged = [run() for _ in range(repetitions)]
    many.world.renew(many.world.certificates[0])
    say(f"large: unchanged {unchanged[-1].seconds} s; now one certificate renewed")
    return first, unchanged, run()


def _peak(key: str, what: str, peak: Peak, limit: int, facts: dict[str, Any]) -> Result:
    return together(key, f"memory of a pod, {what}", peak, limit).with_details(facts)


def _renewal(size: Size, unchanged: Run, renewed: Run) -> Result:
    more, most = renewed.requests - unchanged.requests, PER_CLUSTER * size.large_clusters + PER_CERTIFICATE
    return Result(
        key="renewal_requests_large",
        what=f"one of {size.large_certificates} renewed, for {size.large_clusters} clusters: requests more",
        value=more,
        ours=str(renewed.requests),
        other=str(unchanged.requests),
        demand=f"at most {PER_CLUSTER} per cluster and {PER_CERTIFICATE}, so {most}",
        met=more <= most,
        details={"per_cluster": more / size.large_clusters, "renewed": renewed.facts},
    )
