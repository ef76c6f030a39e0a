"""The tables and plots of docs/performance.md, from what was measured. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks import choices, sentences
from tests.benchmarks.growth import Point
from tests.benchmarks.plots import BLUE, ORANGE, Plot, Series, draw
from tests.benchmarks.sentences import Measured
from tests.benchmarks.tables import table

LINES = (
    ("first_sync_seconds", "first sync, wall", BLUE, False),
    ("first_sync_cpu_seconds", "first sync, CPU", BLUE, True),
    ("unchanged_seconds", "unchanged, wall", ORANGE, False),
    ("unchanged_cpu_seconds", "unchanged, CPU", ORANGE, True),
)
NAMES = {key: name for key, name, *_ in LINES}
FACTS = ("wall", "CPU", "servers' CPU", "requests", "memory")
COMPARED = ("first_sync_vs_floor", "unchanged_vs_floor", "run_vs_kubectl_loop")


def results(measured: Measured) -> str:
    rows = list(measured["rows"].values())
    return table(list(rows[0]), (row.values() for row in rows))


def cpu(measured: Measured) -> str:
    """CPU seconds, as every party to a comparison took them."""
    rows = []
    for key in COMPARED:
        what = measured["rows"][key]["what"].partition(":")[0]
        for party, spent in measured["details"][key]["cpu_seconds"].items():
            rows.append((what, party, f"{spent:.2f} s"))
    return table(["what", "who", "CPU"], rows)


def certificates(measured: Measured) -> str:
    found = measured["details"]["growth_certificates"]
    rows = [_costs("certificates", point) for point in found["points"]]
    part = table(("certificates", *NAMES.values()), rows)
    return "\n\n".join((part, sentences.one_more(found, NAMES), _whole_runs("certificates", found)))


def clusters(measured: Measured) -> str:
    found = measured["details"]["growth_clusters"]
    return "\n\n".join((_whole_runs("clusters", found), sentences.one_more(found, NAMES)))


def large(measured: Measured) -> str:
    details = measured["details"]
    peak, renewed = details["peak_pod_large_mib"], details["renewal_requests_large"]["renewed"]
    runs = {"first sync": peak["first_sync"], "unchanged": peak["unchanged"], "one renewed": renewed}
    rows = table(
        ("run", *FACTS, "both of a pod"), ((name, *_facts(run), _pod(run)) for name, run in runs.items())
    )
    return f"{rows}\n\n{sentences.renewal(measured)}"


def plots(measured: Measured) -> dict[str, str]:
    """File names, and what they hold."""
    details = measured["details"]
    over_certificates = draw(
        Plot(
            "OPS's list and the part of three clusters, without the start of Prefect",
            "certificates on OPS, each on three clusters",
            "seconds",
            _series(details["growth_certificates"]["points"], "certificates"),
        )
    )
    over_clusters = draw(
        Plot(
            "Whole runs, from the start of the process to its exit",
            "clusters, with one certificate each",
            "seconds",
            _series(details["growth_clusters"]["points"], "clusters"),
        )
    )
    return {"growth-certificates.svg": over_certificates, "growth-clusters.svg": over_clusters}


BLOCKS: dict[str, Callable[[Measured], str]] = {
    "machine": sentences.machine,
    "results": results,
    "cpu": cpu,
    "certificates": certificates,
    "clusters": clusters,
    "choices": choices.choices,
    "large": large,
    "losses": sentences.losses,
}


def _series(points: Sequence[Point], over: str) -> tuple[Series, ...]:
    return tuple(
        Series(name, tuple((point[over], point[key]) for point in points), colour, hollow)
        for key, name, colour, hollow in LINES
    )


def _costs(over: str, point: Point) -> tuple[str, ...]:
    keys = (key for key, *_ in LINES)
    return (f"{point[over]:,g}", *(f"{point[key]:.2f} s" for key in keys))


def _whole_runs(over: str, found: dict[str, Any]) -> str:
    rows = (
        (f"{runs[over]:,g}", kind.replace("_", " "), *_facts(runs[kind]))
        for kind in ("first_sync", "unchanged")
        for runs in found["whole_runs"]
    )
    return table((over, "whole run", *FACTS), rows)


def _facts(run: dict[str, Any]) -> tuple[str, ...]:
    times = (f"{run[key]:.1f} s" for key in ("seconds", "cpu_seconds", "servers_cpu_seconds"))
    return (*times, f"{run['requests']:,}", f"{run['peak_mib']:g} MiB")


def _pod(run: dict[str, Any]) -> str:
    return f"{run['peak_pod_mib']:g} MiB" if "peak_pod_mib" in run else ""
