"""Who of several watchers acts: the one that holds a Lease (coordination.k8s.io), as Kubernetes' own do it.

Clocks of others are not believed: a Lease counts as abandoned once it has not changed for its duration, as
seen from here. Two that act at once, while one is about to notice, do no harm: each write is a
compare-and-swap. Kubernetes' client has an elector, too; its generated models cost 90 MiB.
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
        me: str,
        context: str | None = None,
        timings: WatchTimings = DEFAULT,
    ) -> None:
        """In the cluster that this process runs in, or in that of a context of the kubeconfig."""
        self._namespace, self._name, self._me, self._context = namespace, name, me, context
        self._timings = timings
        self._seen: tuple[str, float] = ("", 0.0)
        """resourceVersion, and the moment at which it was seen first."""
        self._renewed = -self._timings.lease_duration

    @property
    def held(self) -> bool:
        """Whether it is ours beyond doubt."""
        return (
            time.monotonic() < self._renewed + self._timings.lease_duration - self._timings.lease_timeout / 2
        )

    def round(self) -> bool:
        """Take it, renew it, or see who has it; whether it is ours. Raises ClusterError."""
        begun = time.monotonic()
        with self._client() as client:
            found = client.lease(self._namespace, self._name)
            if not self._is_free(found):
                return False
            try:
                written = client.write_lease(
                    self._namespace, self._name, self._spec(found), _version(found) if found else ""
                )
            except ClusterError as error:
                if error.failure.code is FailureCode.CONFLICT:
                    return False
                raise
        self._seen, self._renewed = (_version(written), begun), begun
        return True

    def release(self) -> None:
        """Leave it to the next one at once. Raises ClusterError."""
        with self._client() as client:
            found = client.lease(self._namespace, self._name)
            if found and _holder(found) == self._me:
                spec = {**found["spec"], "holderIdentity": ""}
                client.write_lease(self._namespace, self._name, spec, _version(found))
        self._renewed = -self._timings.lease_duration

    def _client(self) -> ClusterClient:
        access = connect("OPS", self._context)
        return ClusterClient("OPS", access, time.monotonic() + self._timings.lease_timeout)

    def _is_free(self, found: dict[str, Any] | None) -> bool:
        """Nobody's, ours, or not renewed for its whole duration."""
        if found is None or _holder(found) in ("", self._me):
            return True
        version, since = self._seen
        if version != _version(found):
            self._seen = (_version(found), time.monotonic())
            return False
        return time.monotonic() - since > self._timings.lease_duration

    def _spec(self, found: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (found or {}).get("spec") or {}
        ours = before.get("holderIdentity") == self._me
        return {
            "holderIdentity": self._me,
            "leaseDurationSeconds": int(self._timings.lease_duration),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not ours and found is not None),
        }


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _version(lease: dict[str, Any]) -> str:
    return str(lease["metadata"].get("resourceVersion"))
