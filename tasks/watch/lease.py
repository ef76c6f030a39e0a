"""Leader election among several watchers: the one that holds a Lease (coordination.k8s.io) is active.

Clocks of other machines are not trusted: a Lease counts as abandoned once this process has seen no change of
it for its duration. For some seconds two watchers may be active; this does no harm, since each write is a
compare-and-swap. The leader election of the kubernetes client (37.0.1) is not used: it measures with the wall
clock, which may jump, and does not release the Lease at its end.
"""

import time
from datetime import UTC, datetime
from typing import Any

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect
from tasks.watch.timings import DEFAULT, WatchTimings


class Lease:
    def __init__(
        self,
        namespace: str,
        name: str,
        identity: str,
        context: str | None = None,
        timings: WatchTimings = DEFAULT,
    ) -> None:
        """Use a Lease of the cluster that this process runs in, or of a context of the kubeconfig."""
        self._namespace, self._name, self._identity, self._context = namespace, name, identity, context
        self._timings = timings
        self._observed: tuple[str, float] = ("", 0.0)
        """resourceVersion of the Lease, and the time at which it was first seen."""
        self._renewed_at = -timings.lease_duration

    @property
    def is_leader(self) -> bool:
        """Whether no other replica can have taken the Lease yet."""
        return time.monotonic() < (
            self._renewed_at + self._timings.lease_duration - self._timings.lease_timeout / 2
        )

    def try_acquire_or_renew(self) -> bool:
        """Take or renew the Lease unless another replica holds it; return whether it is ours.

        Raises ClusterError.
        """
        started = time.monotonic()
        with self._client() as client:
            lease = client.lease(self._namespace, self._name)
            if not self._is_available(lease):
                return False
            try:
                written = client.write_lease(
                    self._namespace, self._name, self._spec(lease), _version(lease) if lease else ""
                )
            except ClusterError as error:
                if error.failure.code is FailureCode.CONFLICT:
                    return False
                raise
        self._observed, self._renewed_at = (_version(written), started), started
        return True

    def release(self) -> None:
        """Leave the Lease without a holder, so that another replica takes it at once. Raises ClusterError."""
        with self._client() as client:
            lease = client.lease(self._namespace, self._name)
            if lease and _holder(lease) == self._identity:
                spec = {**lease["spec"], "holderIdentity": ""}
                client.write_lease(self._namespace, self._name, spec, _version(lease))
        self._renewed_at = -self._timings.lease_duration

    def _client(self) -> ClusterClient:
        access = connect("OPS", self._context)
        return ClusterClient("OPS", access, time.monotonic() + self._timings.lease_timeout)

    def _is_available(self, lease: dict[str, Any] | None) -> bool:
        """Whether it does not exist, has no holder, is ours or was not renewed for its whole duration."""
        if lease is None or _holder(lease) in ("", self._identity):
            return True
        version, since = self._observed
        if version != _version(lease):
            self._observed = (_version(lease), time.monotonic())
            return False
        return time.monotonic() - since > self._timings.lease_duration

    def _spec(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (lease or {}).get("spec") or {}
        is_renewal = before.get("holderIdentity") == self._identity
        transitions = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timings.lease_duration),
            "acquireTime": before.get("acquireTime", now) if is_renewal else now,
            "renewTime": now,
            "leaseTransitions": transitions + (not is_renewal and lease is not None),
        }


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _version(lease: dict[str, Any]) -> str:
    return str(lease["metadata"].get("resourceVersion"))
