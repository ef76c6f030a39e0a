"""What the watcher's renewals are compared with."""

from tests.benchmarks import floor_watch
from tests.benchmarks.watch_vs_floor import FLOOR, OURS, results
from tests.benchmarks.world import TARGETS

KUBECONFIG = {
    "current-context": "cluster-ops",
    "clusters": [
        {"name": f"cluster-{name}", "cluster": {"server": f"https://{name}", "tls-server-name": "x"}}
        for name in ("ops", *TARGETS)
    ],
    "users": [{"name": f"cluster-{name}", "user": {"token": f"of {name}"}} for name in ("ops", *TARGETS)],
}
ADDRESSES = {name: f"https://front-of-{name}" for name in ("ops", *TARGETS)}


def test_medians_and_quantiles_are_compared_each_with_its_own() -> None:
    """One slow renewal in ten moves the 95 % and not the median; the delayed are judged alone."""
    near = {OURS: [0.03] * 18 + [0.3] * 2, FLOOR: [0.02] * 20}
    found = {one.key: one for one in results(near, {OURS: [0.3] * 20, FLOOR: [0.2] * 20})}
    assert {key: (one.value, one.met) for key, one in found.items()} == {
        "watch_vs_floor_p50": (1.5, True),
        "watch_vs_floor_p95": (15.0, False),
        "watch_20ms_vs_floor_p50": (1.5, False),
    }
    assert found["watch_vs_floor_p95"].row["other"] == "0.020 s"


def test_both_parties_go_through_the_same_front() -> None:
    """The floor's addresses are those of the kubeconfig that the watcher gets; nothing else of it changes."""
    fronted = floor_watch.through(KUBECONFIG, ADDRESSES)
    assert [one["cluster"]["server"] for one in fronted["clusters"]] == [*ADDRESSES.values()]
    assert fronted["clusters"][0]["cluster"]["tls-server-name"] == "x"
    assert {**fronted, "clusters": KUBECONFIG["clusters"]} == KUBECONFIG
    job = floor_watch.work(fronted)
    assert [one["url"] for one in (job["source"], *job["targets"])] == [*ADDRESSES.values()]
    assert [one["token"] for one in (job["source"], *job["targets"])] == [f"of {name}" for name in ADDRESSES]
