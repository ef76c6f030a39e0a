"""How much is measured: in full, quickly, and as little as the tests need."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    certificates: int = 100
    """On OPS, each routed to three clusters; unless another field says otherwise."""
    first_syncs: int = 10
    unchanged: int = 25
    floor_trials: int = 5
    """How often the floor is run with each number of concurrent requests, to find its best."""
    whole_runs: int = 10
    loop_rounds: int = 3
    """A round of the kubectl loop takes more than a minute."""
    loop_copies: int | None = None
    """Copies that the kubectl loop makes, from which the time of all is extrapolated; None: all."""
    starts: int = 10
    renewals: int = 200
    floor_renewals: int = 40
    """Renewals of the watcher, and as many of the floor beside it."""
    growth_certificates: tuple[int, ...] = (10, 100, 1000)
    growth_clusters: tuple[int, ...] = (3, 30, 300)
    growth_repetitions: int = 3
    black_holes: int = 30
    """Among the last of growth_clusters; 0 leaves that run out."""
    server_clusters: tuple[int, int] = (3, 60)
    server_rounds: int = 5
    server_idle_seconds: float = 30.0
    large_certificates: int = 1000
    large_clusters: int = 50
    large_unchanged: int = 3
    many_clusters: int = 1000
    many_certificates: int = 10_000


FULL = Size()
QUICK = Size(
    first_syncs=5,
    unchanged=9,
    whole_runs=5,
    starts=5,
    loop_copies=20,
    renewals=20,
    floor_renewals=10,
    growth_certificates=(10, 100),
    growth_clusters=(3, 30),
    black_holes=3,
    server_rounds=3,
    large_certificates=100,
    large_clusters=10,
    many_clusters=100,
    many_certificates=600,
)
TINY = Size(
    certificates=3,
    first_syncs=1,
    unchanged=1,
    floor_trials=1,
    whole_runs=1,
    loop_rounds=1,
    starts=1,
    renewals=3,
    floor_renewals=2,
    growth_certificates=(1, 3),
    growth_clusters=(1, 3),
    growth_repetitions=1,
    black_holes=0,  # the delays before further attempts take half a minute
    server_clusters=(1, 2),
    server_rounds=1,
    server_idle_seconds=1.0,
    large_certificates=3,
    large_unchanged=1,
    large_clusters=3,
    many_clusters=61,
    many_certificates=120,
)
