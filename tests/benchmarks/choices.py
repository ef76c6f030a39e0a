"""What docs/performance.md says of what was chosen by measuring: compression, threads, patience. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.benchmarks.sentences import Measured, filled
from tests.benchmarks.tables import table

LISTS, FIRST, UNCHANGED, SEAT = KEYS = (
    *("lists_compressed", "threads_first_sync", "threads_unchanged"),
    "one_seat_refusals",
)
_UNKNOWN = "Not measured yet: `python -m tests.benchmarks --only choices` does."
_LISTS = """
**Lists come compressed.** A look at {copies:,} unchanged copies is {ratio:g} times as many bytes without.
Here, where bytes cost nothing, {here}
"""
_SLOWER = """
gzip takes {more:.3f} s more; where the network to a cluster passes less than {even:.0f} Mbit/s, it gains.
"""
_NO_SLOWER = "gzip took no more time in this run; over a network it gains."
_THREADS = """
**{clusters} clusters, each request 20 ms away.** Seconds, and how many times as long as with the pair in use,
{side} clusters side by side with {connections} connections each. The first lines are what a run for one
cluster gains by its connections, which is less and less as there are more clusters.
"""
_HOLES = """
Unchanged, with {connections} connections and {holes} of the {clusters} clusters a black hole: {times} side by
side. Without Prefect's further attempts, which come on top.
"""
_SEAT = """
**An API server that gives us one seat and no queue** (API Priority and Fairness) gets its {copies} copies in
{seconds:.1f} s, where with all seats it takes {free:.1f} s: {refused:g} of {requests} requests were refused,
{early} of ours came sooner than the server had asked for, and all {others} requests of somebody else were
answered meanwhile.
"""


def choices(measured: Measured) -> str:
    details = measured["details"]
    if not all(key in details for key in KEYS):
        return _UNKNOWN
    parts = [*_lists(measured), *_threads(details), _seat(measured)]
    return "\n\n".join(parts)


def _lists(measured: Measured) -> Iterator[str]:
    found = measured["details"][LISTS]
    rows = (
        (
            name,
            f"{one['bytes'] / 1024:,.0f} KiB",
            *(f"{one[key]:.2f} s" for key in ("seconds", "own_cpu_seconds", "servers_cpu_seconds")),
        )
        for name, one in ((name, found[name]) for name in ("gzip", "identity"))
    )
    yield table(("Accept-Encoding", "bytes", "wall", "our CPU", "servers' CPU"), rows)
    packed, plain = found["gzip"], found["identity"]
    more = packed["seconds"] - plain["seconds"]
    here = _NO_SLOWER
    if more > 0:
        even = (plain["bytes"] - packed["bytes"]) * 8 / more / 1e6
        here = _SLOWER.format(more=more, even=even).strip()
    yield filled(_LISTS, copies=found["copies"], ratio=measured[LISTS], here=here)


def _threads(details: Mapping[str, Any]) -> Iterator[str]:
    in_use = details[FIRST]["in_use"]
    side, connections = in_use.split("x")
    yield filled(_THREADS, clusters=details[FIRST]["clusters"], side=side, connections=connections)
    for key, name in ((FIRST, "first sync"), (UNCHANGED, "unchanged")):
        taken = details[key]["seconds"]
        rows, columns = (list(dict.fromkeys(pair.split("x")[at] for pair in taken)) for at in (0, 1))
        heads = (f"{name}: side by side", *(f"{one} connection{'s' * (one != '1')}" for one in columns))
        yield table(heads, ((row, *_cells(taken, row, columns, in_use)) for row in rows))
    found = details[UNCHANGED]
    told = (f"{took:.1f} s with {pair.split('x')[0]}" for pair, took in found["black_holes_seconds"].items())
    facts = {"holes": found["black_holes"], "clusters": found["clusters"], "connections": connections}
    yield filled(_HOLES, **facts, times=", ".join(told))


def _cells(taken: Mapping[str, float], row: str, columns: list[str], in_use: str) -> Iterator[str]:
    for column in columns:
        took = taken[f"{row}x{column}"]
        yield f"{took:.2f} s ({took / taken[in_use]:.2f}x)"


def _seat(measured: Measured) -> str:
    found = measured["details"][SEAT]
    return filled(
        _SEAT,
        copies=found["copies"],
        seconds=found["seconds"],
        free=found["seconds_with_all_seats"],
        refused=measured[SEAT],
        requests=found["requests"],
        early=found["too_early"] or "none",
        others=found["others_answers"],
    )
