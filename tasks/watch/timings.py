"""The watcher's waits, in one value: tests hand in a shorter one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WatchTimings:
    """All numbers are seconds. The last number of a backoff also applies to every later attempt."""

    watch_duration: int = 25
    """Duration of one watch request, after which the server ends it. A connection that was cut or is stalled
    does not end so, and is noticed within the time of one read (kube/transport.py). Bookmarks alone would not
    do: a server on which nothing happens may send none (seen with 1.36)."""
    watch_margin: float = 15.0
    """How long a watch request may last beyond `watch_duration` before its connection is cut."""
    list_timeout: float = 60.0
    """Deadline for listing the metadata of OPS's Secrets."""
    relist_backoff: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0)
    """Waits before OPS is listed again, by consecutive failures of the watch."""

    wakeup_interval: float = 0.5
    """How often the main thread wakes while nothing changes: Python runs signal handlers only there, and a
    signal that the system delivers to another thread does not wake it."""

    change_wait: float = 2.0
    """How long the report of a change waits for slow clusters, which are left out of others from then on;
    their own reports follow."""
    report_wait: float = 10.0
    """The same for the report of a start, which looks at everything."""
    identity_max_age: float = 300.0
    """How old the last check of a target's identity and of our rights there may be when a copy is written."""
    identity_max_age_create: float = 60.0
    """The same when a copy is created."""
    note_delay: float = 10.0
    """How long no certificate may have changed when notes of copies are written: renewals come first."""
    retry_backoff: tuple[float, ...] = (2.0, 5.0, 12.0, 30.0, 60.0)
    """Waits before a failed cluster is tried again; after a failure that needs a person, always the last."""
    retry_interval: float = 1.0
    """How often the watcher looks for failed clusters whose retry is due."""
    config_retry: float = 5.0
    """Wait before a change is tried again that arrived while the configuration was invalid."""
    discover_interval: float = 300.0
    """How old the list of announced clusters may be before OPS is asked again."""
    source_retry: float = 2.0
    """Wait before a change is tried again whose Secret could not be read from OPS."""
    limit_retry: float = 20.0
    """The same while OPS exceeds a limit of the run, which lasts until a person has acted."""
    not_ready_backoff: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0)
    """Waits before a certificate that is not Ready is checked again; after the last check it is reported."""

    lease_duration: float = 10.0
    """How long the Lease may stay unchanged before another replica takes it."""
    lease_interval: float = 3.0
    """Time between two renewals or checks of the Lease: a standby takes over within 13 seconds."""
    lease_timeout: float = 5.0
    """Deadline for one renewal or check of the Lease."""

    max_silence: float = 60.0
    """Without a sign of life for this long, `/healthz` reports that the watcher is stalled."""
    http_timeout: float = 10.0
    """How long a client of `/healthz` and `/metrics` may take to send its request."""

    record_delay: float = 1.0
    """Wait before a record is written. It begins anew with each report, which becomes part of the record."""
    record_max_delay: float = 10.0
    """The same at most."""
    record_retry: float = 10.0
    """Wait before a record is sent again to a Prefect API that did not accept it."""
    record_shutdown: float = 10.0
    """How long records may still be written once the watcher stops."""


DEFAULT = WatchTimings()


def delay(backoff: tuple[float, ...], attempt: int) -> float:
    """Return the seconds to wait before an attempt; attempts count from 0."""
    return backoff[min(attempt, len(backoff) - 1)]
