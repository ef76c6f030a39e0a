"""The metrics, by name. Pure. docs/metrics.md lists them; a test holds the two together."""

from enum import StrEnum
from typing import NamedTuple

MOST = 500
"""Certificates of OPS, and copies of a cluster, that have samples of their own: those that end first."""
MOST_COPIES, FEWEST = 2000, 10
"""In all clusters together; but some of each."""


class Kind(StrEnum):
    """Of what a metric tells; see tasks/metrics/samples.py."""

    RUN = "run"
    SOURCE = "source"
    CLUSTER = "cluster"
    SUCCESS = "success"
    COPIES = "copies"
    PROCESS = "process"


class Family(NamedTuple):
    """A metric: its name, what it says, of what it tells, and its labels."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...] = ("owner",)


_CLUSTER = ("owner", "cluster")
_COPY = (*_CLUSTER, "target_namespace", "secret", "certificate")

RUN_END = Family("tls_sync_last_run_timestamp_seconds", "When the last run ended.", Kind.RUN)
RUN_SECONDS = Family("tls_sync_last_run_duration_seconds", "How long the last run took.", Kind.RUN)
RUN_SUCCESS = Family(
    "tls_sync_last_run_success", "1 where the last run was Completed, 0 where not.", Kind.RUN
)
RUN_FAILURES = Family(
    "tls_sync_last_run_failures",
    "Failures of the last run that belong to no target: OPS's, and ConfigurationInvalid.",
    Kind.RUN,
    ("owner", "code"),
)
RUN_REQUESTS = Family(
    "tls_sync_last_run_api_requests",
    "Requests of the last run to API servers, by HTTP status; `none` where no answer began.",
    Kind.RUN,
    ("owner", "verb", "code"),
)
RUN_LOST = Family(
    "tls_sync_last_run_lost_pushes", "Pushes of the last run that the Pushgateway did not take.", Kind.RUN
)
SUSPENDED = Family(
    "tls_sync_cluster_suspended",
    "1 for a suspended cluster, 0 for each other one configured.",
    Kind.RUN,
    _CLUSTER,
)
SOURCE_CERTIFICATES = Family(
    "tls_sync_source_certificates", "Certificates on OPS that are fit to be sent.", Kind.SOURCE
)
SOURCE_REJECTED = Family(
    "tls_sync_source_rejected",
    "Secrets on OPS that a route names, and that are not fit to be sent.",
    Kind.SOURCE,
    ("owner", "reason"),
)
SOURCE_NOT_ISSUED = Family(
    "tls_sync_source_not_issued",
    "Certificates that a route names, and that cert-manager has yet to issue: pending, or late.",
    Kind.SOURCE,
    ("owner", "reason"),
)
SOURCE_UNROUTED = Family(
    "tls_sync_source_unrouted",
    "Secrets on OPS that are not fit to be sent, or not there yet, and that no route names.",
    Kind.SOURCE,
)
SOURCE_BEGIN = Family(
    "tls_sync_source_not_before_timestamp_seconds",
    "notBefore of a certificate on OPS.",
    Kind.SOURCE,
    ("owner", "certificate"),
)
SOURCE_END = Family(
    "tls_sync_source_not_after_timestamp_seconds",
    "notAfter of a certificate on OPS.",
    Kind.SOURCE,
    ("owner", "certificate"),
)
SOURCE_RENEWAL = Family(
    "tls_sync_source_renewal_timestamp_seconds",
    "When cert-manager renews a certificate on OPS; two thirds of its life where it does not tell.",
    Kind.SOURCE,
    ("owner", "certificate"),
)
SOURCE_DROPPED = Family(
    "tls_sync_source_dropped", "Certificates on OPS that have no samples of their own.", Kind.SOURCE
)
CREDENTIAL_END = Family(
    "tls_sync_credential_end_timestamp_seconds",
    "When the credential for a cluster, or for OPS, ends; where that is known.",
    Kind.CLUSTER,
    _CLUSTER,
)
CLUSTER_RUN_END = Family(
    "tls_sync_cluster_last_run_timestamp_seconds",
    "When the last run for this cluster ended.",
    Kind.CLUSTER,
    _CLUSTER,
)
CLUSTER_SUCCESS = Family(
    "tls_sync_cluster_last_run_success",
    "1 where nothing failed there in the last run, 0 where not.",
    Kind.CLUSTER,
    _CLUSTER,
)
LAST_SUCCESS = Family(
    "tls_sync_last_success_timestamp_seconds",
    "When a run last ended without a failure there.",
    Kind.SUCCESS,
    _CLUSTER,
)
CLUSTER_FAILURES = Family(
    "tls_sync_cluster_failures", "Failures of the last run there, by code.", Kind.CLUSTER, (*_CLUSTER, "code")
)
CERTIFICATES = Family(
    "tls_sync_certificates",
    "Rows of the last report, by action and reason; of the writes, those that took place.",
    Kind.CLUSTER,
    (*_CLUSTER, "action", "reason"),
)
IN_SYNC = Family("tls_sync_secrets_in_sync", "Copies that are as OPS has them.", Kind.CLUSTER, _CLUSTER)
PENDING = Family(
    "tls_sync_secrets_pending", "Writes that were planned and did not take place.", Kind.CLUSTER, _CLUSTER
)
REFUSED = Family(
    "tls_sync_secrets_refused",
    "Secrets wanted there that can't be had, by reason.",
    Kind.CLUSTER,
    (*_CLUSTER, "reason"),
)
COPY_BEGIN = Family(
    "tls_sync_copy_not_before_timestamp_seconds",
    "notBefore of what a copy of ours holds.",
    Kind.COPIES,
    _COPY,
)
COPY_END = Family(
    "tls_sync_copy_not_after_timestamp_seconds", "notAfter of what a copy of ours holds.", Kind.COPIES, _COPY
)
COPY_RENEWAL = Family(
    "tls_sync_copy_renewal_timestamp_seconds",
    "When cert-manager renews what a copy of ours holds, or should have.",
    Kind.COPIES,
    _COPY,
)
COPIES_DROPPED = Family(
    "tls_sync_copies_dropped", "Copies that have no samples of their own.", Kind.COPIES, _CLUSTER
)
HEARD = Family(
    "tls_sync_watch_last_heard_timestamp_seconds",
    "When the watcher last heard from OPS: an event, a bookmark, the due end of a watch. From it alone.",
    Kind.PROCESS,
)
API_REQUESTS = Family(
    "tls_sync_api_requests_total",
    "Requests to API servers since the process began. From the watcher alone.",
    Kind.PROCESS,
    ("verb", "code"),
)
LOST_RECORDS = Family(
    "tls_sync_watch_lost_records_total",
    "Records for Prefect's history that were lost, since its API was away too long. From the watcher alone.",
    Kind.PROCESS,
    (),
)

COUNTERS = frozenset({API_REQUESTS, LOST_RECORDS})
"""All others are gauges."""
BY_NAME = {one.name: one for one in list(globals().values()) if isinstance(one, Family)}
