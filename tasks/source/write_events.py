"""Creates the Kubernetes Events of a report on OPS; only these and the watcher's Lease are written there."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError, internal_error
from tasks.kube.pool import client_of_source
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.report.kubernetes_events import MAX_EVENTS, KubernetesEvent

SECONDS = 5.0
"""Maximum number of seconds for the Events of a report."""


def write_events(source: Source, events: Sequence[KubernetesEvent]) -> str:
    """Create the Events, MAX_EVENTS at most; return why some are missing, for the log, or an empty string."""
    if not events:
        return ""
    try:
        with (
            client_of_source(source, time.monotonic() + SECONDS) as client,
            ThreadPoolExecutor(MAX_CONNECTIONS) as pool,
        ):
            list(pool.map(client.create_event, [one.manifest for one in events[:MAX_EVENTS]]))
    except ClusterError as error:
        return f"Kubernetes Events on OPS are missing: {error.failure}; this changes no copy and no report"
    except Exception as error:  # noqa: BLE001  its text could hold anything, and Events must cost nothing
        return f"Kubernetes Events on OPS are missing: {internal_error(source.label, 'create events', error)}"
    left_out = len(events) - MAX_EVENTS
    return f"Kubernetes Events on OPS: {left_out} of {len(events)} were left out" if left_out > 0 else ""
