"""Prometheus metrics of this process: for a program that stays and is scraped, as the watcher is.

    metrics.observe(report)          after each piece of work, with its RunReport
    metrics.heard(owner)             after each event, bookmark or list of OPS
    metrics.record_lost()            for each record that Prefect's history will never have
    body, kind = metrics.exposition()     what to answer to GET /metrics, and its content type

`observe` does what a push to a Pushgateway does (pushgateway.py): series of what healed vanish with the
next report of the cluster, and series of clusters that `report.configured` names no more with the next report
of any. A report should have `owner`, `configured`, `suspended`, `began` and `requests` set as the flow sets
them (`tally.since`). One with `certificate` changes the run's series, OPS's and those of that certificate's
copies; only one without it can be a cluster's success. Usable from several threads.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.domain.models import RunReport
from tasks.kube import request_counts
from tasks.metrics.definitions import API_REQUESTS, COUNTERS, HEARD, LOST_RECORDS, Family
from tasks.metrics.samples import Parts, Sample, merged, of_run

Source = Callable[[], Iterable[Sample]]

_lock = threading.Lock()
_run: list[Sample] = []
_held: Parts = {}
_heard: dict[str, datetime] = {}
_lost: list[float] = [0.0]


def observe(report: RunReport) -> None:
    """From now on, this is what the process tells of its last work."""
    with _lock:
        _run[:] = of_run(report) or _run
        now = dict(merged(_held, report))
        _held.clear()
        _held.update(now)


def heard(owner: str) -> None:
    """OPS has just said something."""
    with _lock:
        _heard[owner] = datetime.now(UTC)


def record_lost() -> None:
    """One for Prefect's history could not be kept until its API was back."""
    with _lock:
        _lost[0] += 1


def exposition() -> tuple[bytes, str]:
    """All of it as text, and the text's content type."""
    return text(_samples()), CONTENT_TYPE_PLAIN_0_0_4


def text(samples: Iterable[Sample]) -> bytes:
    """Samples in Prometheus's text format."""
    held = tuple(samples)
    return generate_latest(_registry(lambda: held))


def _samples() -> tuple[Sample, ...]:
    with _lock:
        held = [*_run, *(sample for samples in _held.values() for sample in samples)]
        held += [Sample(HEARD, (owner,), moment.timestamp()) for owner, moment in _heard.items()]
        held.append(Sample(LOST_RECORDS, (), _lost[0]))
    return (
        *held,
        *(Sample(API_REQUESTS, (*outcome,), count) for outcome, count in request_counts.made().items()),
    )


def _registry(source: Source) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Told(source))
    return registry


class _Told(Collector):
    """What a source of samples has to tell at this moment, each family once."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return ()  # otherwise it would be collected once more, for the names

    def collect(self) -> Iterator[Metric]:
        metrics: dict[Family, GaugeMetricFamily | CounterMetricFamily] = {}
        for family, labels, value in self._source():
            if family not in metrics:
                kind = CounterMetricFamily if family in COUNTERS else GaugeMetricFamily
                metrics[family] = kind(family.name, family.help, labels=family.labels)
            metrics[family].add_metric(labels, value)
        yield from metrics.values()
