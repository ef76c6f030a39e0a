"""What the watcher's waits have to be to one another, and how a backoff is read."""

from tasks.watch.timings import DEFAULT, delay


def test_a_standby_takes_over_within_15_seconds() -> None:
    """The longest silence of the leader and the standby's wait together stay below 15 seconds."""
    assert DEFAULT.lease_duration + DEFAULT.lease_interval < 15.0


def test_a_leader_renews_before_it_gives_up() -> None:
    """The next renewal begins while the Lease still counts as its own."""
    assert DEFAULT.lease_interval + DEFAULT.lease_timeout / 2 < DEFAULT.lease_duration


def test_a_quiet_source_is_not_a_stalled_one() -> None:
    """A watch request that is cut at its deadline, without an event, ends before `/healthz` turns red."""
    assert DEFAULT.watch_duration + DEFAULT.watch_margin < DEFAULT.max_silence


def test_a_backoff_ends_with_its_last_number() -> None:
    """An attempt beyond the end of a backoff waits as long as the last one in it."""
    assert [delay((1.0, 2.0, 5.0), attempt) for attempt in range(5)] == [1.0, 2.0, 5.0, 5.0, 5.0]
