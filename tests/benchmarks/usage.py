"""Seconds that something took, and CPU seconds of each process in it, as Linux counts them."""

import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a party took in one round, in seconds."""

    seconds: float
    cpu: float
    servers_cpu: float


@dataclass
class Usage:
    """In seconds; set when the `with` ends."""

    seconds: float = 0.0
    own_cpu: float = 0.0
    """Of this process, where tls-sync runs in it."""
    children_cpu: float = 0.0
    """Of child processes that ended meanwhile, with their children."""
    servers_cpu: float = 0.0
    """Of the API servers and etcd."""

    @property
    def here(self) -> Cost:
        """Where the party ran in this process."""
        return Cost(self.seconds, self.own_cpu, self.servers_cpu)

    @property
    def of_children(self) -> Cost:
        return Cost(self.seconds, self.children_cpu, self.servers_cpu)


@contextmanager
def usage(servers: Sequence[int]) -> Iterator[Usage]:
    """`servers` are process ids; they must live as long as the `with`."""
    found = Usage()
    before, served, begin = _own(), cpu_of(servers), time.perf_counter()
    yield found
    found.seconds = time.perf_counter() - begin
    own, children = (new - old for new, old in zip(_own(), before, strict=True))
    found.own_cpu, found.children_cpu = own, children
    found.servers_cpu = cpu_of(servers) - served


def cpu_of(processes: Iterable[int]) -> float:
    """Seconds so far, of the processes that still run."""
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
    # The name before it may contain spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
