"""The metrics of this process, for a program that Prometheus scrapes, as the watcher is. Thread-safe.

`observe` merges a report as a push to a Pushgateway does (push.py): the next report of a cluster removes the
series of failures that are gone, and the next report of any cluster removes the series of clusters that
`report.configured` no longer names.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.domain.models import RunReport, SourceSnapshot
from tasks.kube import request_counts
from tasks.metrics.build_info import build_info
from tasks.metrics.definitions import API_REQUESTS, COUNTERS, LAST_HEARD, LOST_RECORDS, Family
from tasks.metrics.samples import Parts, Sample, merge, run_samples

MAX_WAITING = 100
"""Number of reports on one certificate that are merged at once. Of those that wait, only the last keeps what
it shows of OPS."""

_lock = threading.Lock()
_waiting: list[RunReport] = []
_run: list[Sample] = []
_state: Parts = {}
_last_heard: dict[str, datetime] = {}
_lost: list[float] = [0.0]


def observe(*reports: RunReport) -> None:
    """Replace the samples that the reports cover, oldest first; OPS is as the last one shows it.

    A hundred reports on one certificate cost little more than one, so they wait until the samples are asked
    for. A report on all of them has a row for each copy: where nobody scrapes, it would stay in memory.
    """
    with _lock:
        for report in (one for one in reports if not one.parameters.dry_run):
            is_read = not report.snapshot.failure
            if _waiting and not (is_read and _scope(report) == _scope(_waiting[-1])):
                _merge()  # what waits knows more of OPS, or has series that are gone by then
            if _waiting:
                _waiting[-1] = _waiting[-1].model_copy(update={"snapshot": SourceSnapshot()})
            _waiting.append(report)
            if len(_waiting) >= MAX_WAITING or not (is_read and report.parameters.certificate):
                _merge()


def _scope(report: RunReport) -> tuple[object, ...]:
    """What decides which series are gone."""
    return report.owner, report.configured, report.members, report.suspended


def _merge() -> None:
    """Turn the reports that wait into samples. The caller holds the lock."""
    if _waiting:
        _run[:] = run_samples(_waiting[-1])
        merged = merge(_state, *_waiting)
        _state.clear()
        _state.update(merged)
        _waiting.clear()


def record_source_event(owner: str) -> None:
    """Record that OPS has just sent an event, a bookmark or a list."""
    with _lock:
        _last_heard[owner] = datetime.now(UTC)


def count_lost_record() -> None:
    """Count a record for Prefect's history that was dropped before Prefect's API responded."""
    with _lock:
        _lost[0] += 1


def exposition() -> tuple[bytes, str]:
    """Return the body and the content type of the response to GET /metrics."""
    return text(_samples()), CONTENT_TYPE_PLAIN_0_0_4


def text(samples: Iterable[Sample]) -> bytes:
    """Return the samples in Prometheus's text format."""
    found = tuple(samples)
    return generate_latest(_registry(lambda: found))


def _samples() -> tuple[Sample, ...]:
    with _lock:
        _merge()
        found = [*_run, *(sample for samples in _state.values() for sample in samples)]
        found += [Sample(LAST_HEARD, (owner,), time.timestamp()) for owner, time in _last_heard.items()]
        found += [Sample(LOST_RECORDS, (), _lost[0]), build_info()]
    return (
        *found,
        *(Sample(API_REQUESTS, (*outcome,), count) for outcome, count in request_counts.snapshot().items()),
    )


def _registry(source: Callable[[], Iterable[Sample]]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_SampleCollector(source))
    return registry


class _SampleCollector(Collector):
    """Collects the current samples, each metric family once."""

    def __init__(self, source: Callable[[], Iterable[Sample]]) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return ()  # without this, the registry would collect all samples once more for the names

    def collect(self) -> Iterator[Metric]:
        metrics: dict[Family, GaugeMetricFamily | CounterMetricFamily] = {}
        for family, labels, value in self._source():
            if family not in metrics:
                kind = CounterMetricFamily if family in COUNTERS else GaugeMetricFamily
                metrics[family] = kind(family.name, family.help, labels=family.labels)
            metrics[family].add_metric(labels, value)
        yield from metrics.values()
