"""The metrics, by name. Pure. docs/metrics.md lists them; a test holds the two together."""

from typing import NamedTuple

MOST = 500
"""Certificates of OPS, and copies of a cluster, that have samples of their own: those that end first."""


class Family(NamedTuple):
    """A metric: its name, what it says, and its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ("owner",)


_CLUSTER = ("owner", "cluster")
_COPY = (*_CLUSTER, "target_namespace", "secret", "certificate")

RUN_END = Family("tls_sync_last_run_timestamp_seconds", "When the last run ended.")
RUN_SECONDS = Family("tls_sync_last_run_duration_seconds", "How long the last run took.")
RUN_SUCCESS = Family("tls_sync_last_run_success", "1 where the last run was Completed, 0 where not.")
RUN_FAILURES = Family(
    "tls_sync_last_run_failures",
    "Failures of the last run that belong to no target: OPS's, and ConfigurationInvalid.",
    ("owner", "code"),
)
RUN_REQUESTS = Family(
    "tls_sync_last_run_api_requests",
    "Requests of the last run to API servers, by HTTP status; `none` where no answer began.",
    ("owner", "verb", "code"),
)
RUN_LOST = Family(
    "tls_sync_last_run_lost_pushes", "Pushes of the last run that the Pushgateway did not take."
)
SUSPENDED = Family(
    "tls_sync_cluster_suspended", "1 for a suspended cluster, 0 for each other one configured.", _CLUSTER
)
SOURCE_CERTIFICATES = Family("tls_sync_source_certificates", "Certificates on OPS that are fit to be sent.")
SOURCE_REJECTED = Family(
    "tls_sync_source_rejected", "Secrets on OPS that are not fit to be sent.", ("owner", "reason")
)
SOURCE_BEGIN = Family(
    "tls_sync_source_not_before_timestamp_seconds",
    "notBefore of a certificate on OPS.",
    ("owner", "certificate"),
)
SOURCE_END = Family(
    "tls_sync_source_not_after_timestamp_seconds",
    "notAfter of a certificate on OPS.",
    ("owner", "certificate"),
)
SOURCE_DROPPED = Family(
    "tls_sync_source_dropped", f"Certificates on OPS without samples of their own, beyond the first {MOST}."
)
CREDENTIAL_END = Family(
    "tls_sync_credential_end_timestamp_seconds",
    "When the credential for a cluster, or for OPS, ends; where that is known.",
    _CLUSTER,
)
CLUSTER_RUN_END = Family(
    "tls_sync_cluster_last_run_timestamp_seconds", "When the last run for this cluster ended.", _CLUSTER
)
CLUSTER_SUCCESS = Family(
    "tls_sync_cluster_last_run_success",
    "1 where nothing failed there in the last run, 0 where not.",
    _CLUSTER,
)
LAST_SUCCESS = Family(
    "tls_sync_last_success_timestamp_seconds", "When a run last ended without a failure there.", _CLUSTER
)
CLUSTER_FAILURES = Family(
    "tls_sync_cluster_failures", "Failures of the last run there, by code.", (*_CLUSTER, "code")
)
CERTIFICATES = Family(
    "tls_sync_certificates",
    "Rows of the last report, by action and reason; of the writes, those that took place.",
    (*_CLUSTER, "action", "reason"),
)
IN_SYNC = Family("tls_sync_secrets_in_sync", "Copies that are as OPS has them.", _CLUSTER)
PENDING = Family("tls_sync_secrets_pending", "Writes that were planned and did not take place.", _CLUSTER)
REFUSED = Family(
    "tls_sync_secrets_refused", "Secrets wanted there that can't be had, by reason.", (*_CLUSTER, "reason")
)
COPY_BEGIN = Family(
    "tls_sync_copy_not_before_timestamp_seconds", "notBefore of what a copy of ours holds.", _COPY
)
COPY_END = Family(
    "tls_sync_copy_not_after_timestamp_seconds", "notAfter of what a copy of ours holds.", _COPY
)
COPIES_DROPPED = Family(
    "tls_sync_copies_dropped", f"Copies without samples of their own, beyond the first {MOST}.", _CLUSTER
)
HEARD = Family(
    "tls_sync_watch_last_heard_timestamp_seconds",
    "When the watcher last heard from OPS: an event, a bookmark or a list. From the watcher alone.",
    (),
)
API_REQUESTS = Family(
    "tls_sync_api_requests_total",
    "Requests to API servers since the process began. From the watcher alone.",
    ("verb", "code"),
)
