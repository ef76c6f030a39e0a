"""Seconds that something took, and CPU seconds of every party to it, by Linux's own account."""

import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    """Filled in when the `with` ends."""

    seconds: float = 0.0
    own_cpu: float = 0.0
    """Of this process, where tls-sync's code runs in it."""
    children_cpu: float = 0.0
    """Of processes that ended meanwhile, with their own children."""
    servers_cpu: float = 0.0
    """Of the API servers and etcd."""


@contextmanager
def usage(servers: Sequence[int]) -> Iterator[Usage]:
    """`servers` are process ids, which must outlive the `with`."""
    found = Usage()
    before, served, begin = _own(), cpu_of(servers), time.perf_counter()
    yield found
    found.seconds = time.perf_counter() - begin
    own, children = (new - old for new, old in zip(_own(), before, strict=True))
    found.own_cpu, found.children_cpu = own, children
    found.servers_cpu = cpu_of(servers) - served


def cpu_of(processes: Iterable[int]) -> float:
    """Of processes that run, so far; 0 where one is gone."""
    return sum(map(_cpu, processes))


def middle(values: Iterable[float]) -> float:
    return round(median(values), 3)


def _own() -> tuple[float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), children.ru_utime + children.ru_stime


def _cpu(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    # The name before it may hold anything, also spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
