"""How much is measured: the whole, a short form for a look, and a tiny one for the tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    certificates: int = 100
    """On OPS, each routed to three clusters; where the other fields say nothing else."""
    first_syncs: int = 11
    unchanged: int = 25
    floor_trials: int = 5
    """How often the floor is tried with each number of requests at a time, to find its best."""
    whole_runs: int = 7
    loop_copies: int | None = None
    """Copies that the kubectl loop makes, from which the rest is extrapolated; None: all, measured."""
    starts: int = 5
    renewals: int = 200
    growth_certificates: tuple[int, ...] = (10, 100, 1000)
    growth_clusters: tuple[int, ...] = (3, 30, 300)
    growth_repetitions: int = 3
    black_holes: int = 30
    """Among the last of growth_clusters; 0: that run is left out."""
    listed: int = 1000
    """Copies in the namespace that is listed with and without compression."""
    listings: int = 9
    threads_clusters: int = 32
    threads_certificates: int = 8
    threads_side_by_side: tuple[int, ...] = (1, 4, 8, 16, 32)
    threads_connections: tuple[int, ...] = (1, 2, 4, 8)
    threads_rounds: int = 2
    threads_black_holes: int = 4
    seat_certificates: int = 100
    """Brought to a server that has one seat for us."""
    large_certificates: int = 1000
    large_clusters: int = 50


FULL = Size()
QUICK = Size(
    first_syncs=5,
    unchanged=9,
    loop_copies=20,
    renewals=20,
    growth_certificates=(10, 100),
    growth_clusters=(3, 30),
    black_holes=3,
    listed=300,
    listings=5,
    threads_clusters=16,
    threads_side_by_side=(4, 16),
    threads_connections=(2, 4),
    threads_rounds=1,
    threads_black_holes=2,
    large_certificates=100,
    large_clusters=10,
)
TINY = Size(
    certificates=3,
    first_syncs=1,
    unchanged=1,
    floor_trials=1,
    whole_runs=1,
    starts=1,
    renewals=3,
    growth_certificates=(1, 3),
    growth_clusters=(1, 3),
    growth_repetitions=1,
    black_holes=0,  # the pauses before another attempt take half a minute
    listed=3,
    listings=1,
    threads_clusters=3,
    threads_certificates=3,
    threads_side_by_side=(1, 16),
    threads_connections=(1, 4),
    threads_rounds=1,
    threads_black_holes=1,
    seat_certificates=6,
    large_certificates=3,
    large_clusters=3,
)
