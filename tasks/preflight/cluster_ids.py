"""The uids of the clusters of a kubeconfig, for the configuration."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tasks.domain.errors import ClusterError, defect
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect, contexts

SECONDS = 15.0
SIDE_BY_SIDE = 16


def cluster_ids() -> Iterator[tuple[str, str, bool]]:
    """Each context of $KUBECONFIG, its clusterId or why it can't be had, and whether it could."""
    names = contexts()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for name, (text, known) in zip(names, pool.map(_cluster_id, names), strict=True):
            yield name, text, known


def _cluster_id(context: str) -> tuple[str, bool]:
    try:
        # Whoever types this command would run the exec plugin with kubectl, too.
        access = connect(context, context, allow_exec=True)
        with ClusterClient(context, access, time.monotonic() + SECONDS) as client:
            return client.cluster_id(), True
    except ClusterError as error:
        return str(error), False
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        return str(defect(context, "ask for its clusterId", error)), False
