"""The metrics: name, HELP text and labels. Pure. docs/metrics.md lists them; a test compares the two."""

from enum import StrEnum
from typing import NamedTuple

MAX_SERIES = 500
"""Maximum number of certificates on OPS, and of copies per cluster, that have samples of their own."""
MAX_COPIES = 2000
"""Maximum number of copies in all clusters that have samples of their own, shared equally by the clusters."""
MIN_COPIES = 10
"""Number of copies per cluster that have samples of their own even where there are very many clusters."""


class Kind(StrEnum):
    """What the samples of a metric describe; tasks/metrics/samples.py says when they are replaced."""

    RUN = "run"
    SOURCE = "source"
    CLUSTER = "cluster"
    SUCCESS = "success"
    COPIES = "copies"
    SERVED = "served"
    PROCESS = "process"


class Family(NamedTuple):
    """A metric family: name, HELP text, what its samples describe, and labels."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...] = ("owner",)


_CLUSTER = ("owner", "cluster")
_COPY = (*_CLUSTER, "target_namespace", "secret", "certificate")

RUN_END = Family("tls_sync_last_run_timestamp_seconds", "When the last run ended.", Kind.RUN)
RUN_SECONDS = Family("tls_sync_last_run_duration_seconds", "How long the last run took.", Kind.RUN)
RUN_SUCCESS = Family("tls_sync_last_run_success", "1 if the last run was Completed, else 0.", Kind.RUN)
RUN_FAILURES = Family(
    "tls_sync_last_run_failures",
    "Failures of the last run that belong to no target cluster: those of OPS, and ConfigurationInvalid.",
    Kind.RUN,
    ("owner", "code"),
)
RUN_REQUESTS = Family(
    "tls_sync_last_run_api_requests",
    "Requests of the last run to API servers, by HTTP status; `none` if no response began.",
    Kind.RUN,
    ("owner", "verb", "code"),
)
RUN_LOST = Family(
    "tls_sync_last_run_lost_pushes", "Pushes of the last run that the Pushgateway did not accept.", Kind.RUN
)
BUILD_INFO = Family(
    "tls_sync_build_info",
    "1; its label is the version of tls-sync that ran last, or that the watcher is.",
    Kind.RUN,
    ("version",),
)
SUSPENDED = Family(
    "tls_sync_cluster_suspended",
    "1 for a suspended cluster, 0 for every other cluster of the configuration.",
    Kind.RUN,
    _CLUSTER,
)
SOURCE_CERTIFICATES = Family(
    "tls_sync_source_certificates", "Certificates on OPS, without those that are refused.", Kind.SOURCE
)
SOURCE_UNCHECKED = Family(
    "tls_sync_source_unchecked",
    "Certificates on OPS that no run had to read, for example since no route sends them.",
    Kind.SOURCE,
)
SOURCE_REJECTED = Family(
    "tls_sync_source_rejected",
    "Secrets on OPS that a route names and that are not fit to be sent, by reason.",
    Kind.SOURCE,
    ("owner", "reason"),
)
SOURCE_NOT_ISSUED = Family(
    "tls_sync_source_not_issued",
    "Certificates that a route names and that cert-manager has yet to issue, by reason: pending or late.",
    Kind.SOURCE,
    ("owner", "reason"),
)
SOURCE_NOT_GRANTED = Family(
    "tls_sync_source_requests_refused",
    "Certificates that ask for copies beyond the limits of selfService, by reason.",
    Kind.SOURCE,
    ("owner", "reason"),
)
SOURCE_UNROUTED = Family(
    "tls_sync_source_unrouted",
    "Secrets on OPS that no route names and that are not fit to be sent or not issued yet.",
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
    "When cert-manager renews a certificate on OPS; two thirds of its lifetime if unknown.",
    Kind.SOURCE,
    ("owner", "certificate"),
)
SOURCE_DROPPED = Family(
    "tls_sync_source_dropped", "Certificates on OPS that have no samples of their own.", Kind.SOURCE
)
CREDENTIAL_END = Family(
    "tls_sync_credential_end_timestamp_seconds",
    "When the credential for a cluster, or for OPS, expires, if that is known.",
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
    "1 if nothing failed there in the last run, else 0.",
    Kind.CLUSTER,
    _CLUSTER,
)
LAST_SUCCESS = Family(
    "tls_sync_last_success_timestamp_seconds",
    "When the last run without a failure there ended.",
    Kind.SUCCESS,
    _CLUSTER,
)
CLUSTER_FAILURES = Family(
    "tls_sync_cluster_failures", "Failures of the last run there, by code.", Kind.CLUSTER, (*_CLUSTER, "code")
)
CERTIFICATES = Family(
    "tls_sync_certificates",
    "Rows of the last report, by action and reason; writes count only if they took place.",
    Kind.CLUSTER,
    (*_CLUSTER, "action", "reason"),
)
IN_SYNC = Family(
    "tls_sync_secrets_in_sync", "Copies with the same content as on OPS.", Kind.CLUSTER, _CLUSTER
)
PENDING = Family(
    "tls_sync_secrets_pending", "Writes that were planned but did not take place.", Kind.CLUSTER, _CLUSTER
)
REFUSED = Family(
    "tls_sync_secrets_refused",
    "Secrets that are routed there and were refused, by reason.",
    Kind.CLUSTER,
    (*_CLUSTER, "reason"),
)
COPY_BEGIN = Family(
    "tls_sync_copy_not_before_timestamp_seconds",
    "notBefore of the certificate in a copy.",
    Kind.COPIES,
    _COPY,
)
COPY_END = Family(
    "tls_sync_copy_not_after_timestamp_seconds", "notAfter of the certificate in a copy.", Kind.COPIES, _COPY
)
COPY_RENEWAL = Family(
    "tls_sync_copy_renewal_timestamp_seconds",
    "When cert-manager renews the certificate in a copy, or should have renewed it.",
    Kind.COPIES,
    _COPY,
)
COPIES_DROPPED = Family(
    "tls_sync_copies_dropped", "Copies that have no samples of their own.", Kind.COPIES, _CLUSTER
)
SERVED = Family(
    "tls_sync_served_match",
    "1: what an address presented when it was last asked, compared with the stored certificate.",
    Kind.SERVED,
    (*_CLUSTER, "certificate", "address", "match"),
)
SERVED_END = Family(
    "tls_sync_served_not_after_timestamp_seconds",
    "notAfter of the certificate that an address presented when it was last asked.",
    Kind.SERVED,
    (*_CLUSTER, "certificate", "address"),
)
SERVED_CHECK = Family(
    "tls_sync_served_last_check_timestamp_seconds",
    "When the addresses of a cluster were last asked.",
    Kind.SERVED,
    _CLUSTER,
)
SERVED_DROPPED = Family(
    "tls_sync_served_dropped", "Addresses that have no samples of their own.", Kind.SERVED, _CLUSTER
)
LAST_HEARD = Family(
    "tls_sync_watch_last_heard_timestamp_seconds",
    "When the watcher last received an event, a bookmark or a watch's regular end from OPS.",
    Kind.PROCESS,
)
API_REQUESTS = Family(
    "tls_sync_api_requests_total",
    "Requests of the watcher to API servers since it started.",
    Kind.PROCESS,
    ("verb", "code"),
)
LOST_RECORDS = Family(
    "tls_sync_watch_lost_records_total",
    "Records of the watcher for Prefect's history that were lost while its API did not respond.",
    Kind.PROCESS,
    (),
)

COUNTERS = frozenset({API_REQUESTS, LOST_RECORDS})
"""The counters; all other metrics are gauges."""
BY_NAME = {one.name: one for one in list(globals().values()) if isinstance(one, Family)}
