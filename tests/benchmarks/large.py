"""1,000 certificates, each on 50 clusters: the memory of a pod, and the requests of one renewal."""

from deployments.sandbox.progress import Say
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.flow_process import SELDOM, SELDOM_IN_POD, Run
from tests.benchmarks.pod import together
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World

POD_MIB = 220
PER_CLUSTER = 3
"""Requests for one renewed copy: review the permissions, read the Secret from OPS, apply the copy."""


def large(world: World, size: Size, say: Say) -> list[Result]:
    """To tls-sync each cluster is another one; one real API server stands behind them all."""
    world.resize(size.large_certificates)
    with fleet(world, size.large_clusters, say, everything=True) as many:
        first, unchanged, renewed = _three_runs(many, say)
    return [_peak(size, first, unchanged), _renewal(size, unchanged, renewed)]


def _three_runs(many: Fleet, say: Say) -> tuple[Run, Run, Run]:
    """The first two as in a pod. No repetitions: the first run makes tens of thousands of copies."""
    flow = many.flow(len(many.names))
    say(f"large: {len(many.names) * len(many.world.certificates)} copies, as in a pod; some minutes")
    first = flow.counted(lambda: flow.run_in_pod(SELDOM_IN_POD, say))
    say(f"large: first sync {first.seconds} s; now unchanged")
    unchanged = flow.counted(lambda: flow.run_in_pod(SELDOM_IN_POD, say))
    many.world.renew(many.world.certificates[0])
    say(f"large: unchanged {unchanged.seconds} s; now one certificate renewed")
    return first, unchanged, flow.counted(lambda: flow.run(SELDOM, say))


def _peak(size: Size, first: Run, unchanged: Run) -> Result:
    """The higher of both: a first sync holds keys, an unchanged run the metadata of all copies."""
    peak = max(first.peak, unchanged.peak, key=lambda one: one.together_kib)
    what = (
        f"memory, {size.large_certificates} certificates x {size.large_clusters} clusters: a pod's processes"
    )
    details = {
        "copies": size.large_certificates * size.large_clusters,
        "first_sync": _in_pod(first),
        "unchanged": _in_pod(unchanged),
    }
    return together("peak_pod_large_mib", what, peak, POD_MIB).with_details(details)


def _in_pod(run: Run) -> dict[str, float]:
    return run.facts | {"peak_pod_mib": run.peak.together_mib}


def _renewal(size: Size, unchanged: Run, renewed: Run) -> Result:
    more, most = renewed.requests - unchanged.requests, PER_CLUSTER * size.large_clusters
    return Result(
        key="renewal_requests_large",
        what=f"one of {size.large_certificates} renewed, for {size.large_clusters} clusters: requests more",
        value=more,
        ours=str(renewed.requests),
        other=str(unchanged.requests),
        demand=f"at most {PER_CLUSTER} per cluster, so {most}",
        met=more <= most,
        details={"per_cluster": more / size.large_clusters, "renewed": renewed.facts},
    )
