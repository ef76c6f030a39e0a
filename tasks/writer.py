"""Read from OPS, check again, write: the one place where a private key is on its way.

A key exists here inside `_send_all`, from the moment OPS's answer arrives to the moment the target has it.
"""

import secrets
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tasks import ownership
from tasks.candidate import Candidate, Refused
from tasks.checks import Policy, examine
from tasks.cluster import ClusterClient
from tasks.errors import ClusterError, defect
from tasks.kubeconfig import CONNECTIONS
from tasks.models import Certificate, Change, Failure, Inventory, Plan, Rejection, SecretRef
from tasks.order import Order
from tasks.plan import UnsafePlan, decide, ensure_safe
from tasks.reasons import Code
from tasks.view import View

GIVE_UP_AFTER = 3
"""Failures of an API server in a row, after which it is left in peace."""
LIST_FROM_SHARE = 0.25
"""From this share of OPS's certificates on, one list costs less than a request for each."""

Outcome = tuple[SecretRef, Change | None, Failure | None]
"""Target, its row if there is one left to report, and what went wrong."""


class Writer:
    """Carries out the writes of one plan in one cluster."""

    def __init__(self, source: ClusterClient, target: ClusterClient, order: Order, view: View) -> None:
        self._source, self._target, self._order, self._view = source, target, order, view
        self._known = {certificate.ref.name: certificate for certificate in order.inventory.certificates}
        wants = order.cluster.wants(frozenset(self._known), order.certificate)
        self._wants = {want.target: want for want in wants}
        self._brake = _Brake()

    def write(self, plan: Plan) -> tuple[tuple[Change, ...], list[Failure]]:
        """All rows of the plan as they turned out, and what went wrong."""
        wanted: dict[str, list[Change]] = defaultdict(list)
        for change in plan.writes:
            wanted[change.certificate].append(change)
        outcomes: dict[SecretRef, Change | None] = {change.target: change for change in plan.changes}
        failures: list[Failure] = []
        try:
            for target, outcome, failure in self._deliver(wanted):
                outcomes[target] = outcome
                failures += [failure] if failure else []
        except ClusterError as error:  # OPS could not be read to the end; what was written stays said
            failures.append(error.failure)
        return tuple(change for change in outcomes.values() if change), failures

    def _deliver(self, wanted: dict[str, list[Change]]) -> Iterator[Outcome]:
        missing = set(wanted)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for page in self._pages(tuple(wanted)):
                present = [(secret, wanted[name]) for secret in page if (name := _name(secret)) in missing]
                missing -= {_name(secret) for secret, _ in present}
                for sent in pool.map(lambda pair: self._send_all(*pair), present):
                    yield from sent
        for name in missing:
            yield from ((change.target, self._decide_again(change, None), None) for change in wanted[name])

    def _pages(self, names: tuple[str, ...]) -> Iterator[Iterable[dict[str, Any]]]:
        """The Secrets of that name that OPS has now: one list where many are wanted, else one by one."""
        source = self._order.config.source
        if len(names) > 1 and len(names) >= LIST_FROM_SHARE * len(self._known):
            yield from self._source.tls_secrets(source.namespace, source.selector)
            return
        for name in names:
            try:
                yield [self._source.tls_secret(SecretRef(namespace=source.namespace, name=name))]
            except ClusterError as error:
                if error.failure.code is not Code.NOT_FOUND:
                    raise

    def _send_all(self, secret: dict[str, Any], changes: list[Change]) -> list[Outcome]:
        return [self._send(secret, change) for change in changes]

    def _send(self, secret: dict[str, Any], change: Change) -> Outcome:
        if self._brake.is_on:
            return change.target, change, None
        cluster, what = self._order.cluster.name, f"write secret {change.target}"
        try:
            outcome = self._check_and_apply(secret, change)
        except ClusterError as error:
            self._brake.record(error.failure.code)
            return change.target, change, error.failure
        except UnsafePlan as error:
            failure = Failure(code=Code.UNSAFE_PLAN, cluster=cluster, what=what, detail=str(error))
            return change.target, change, failure
        except Exception as error:  # noqa: BLE001  its text could hold a key; other rows stay said
            return change.target, change, defect(cluster, what, error)
        self._brake.record(None)
        return change.target, outcome, None

    def _check_and_apply(self, secret: dict[str, Any], change: Change) -> Change | None:
        """Send what OPS has now: as planned if it is the same, else as the table says of the new facts."""
        candidate = Candidate(secret)
        certificate = self._check_again(candidate, secret, change)
        if certificate != self._known[change.certificate]:
            again = self._decide_again(change, certificate)
            if again is None or isinstance(certificate, Rejection) or not again.writes:
                return again
            change = again
            self._ensure_safe(change, certificate)
        elif isinstance(certificate, Rejection):
            return change
        self._apply(change, certificate, candidate)
        return change.model_copy(update={"applied": True})

    def _check_again(
        self, candidate: Candidate, secret: dict[str, Any], change: Change
    ) -> Certificate | Rejection:
        """The facts that the plan was made on, if the content is still the same and valid; else new ones."""
        known, now = self._known[change.certificate], datetime.now(UTC)
        with suppress(Refused):  # examine says why
            if candidate.fingerprint == known.version.fingerprint and known.version.not_after > now:
                return known
        policy = Policy(now=now, allow_self_signed=self._order.config.source.allow_self_signed)
        return examine(known.ref, secret, policy)

    def _decide_again(self, change: Change, source: Certificate | Rejection | None) -> Change | None:
        """OPS has moved on since the plan was made: the same table, the new facts."""
        current = self._view.secrets.get(change.target)
        cluster, owner = self._order.cluster, self._order.config.owner
        want = self._wants[change.target]
        return decide(want, source, current, cluster.hostnames, owner, datetime.now(UTC))

    def _ensure_safe(self, change: Change, certificate: Certificate) -> None:
        cluster, owner = self._order.cluster, self._order.config.owner
        plan = Plan(cluster=cluster.name, changes=(change,))
        inventory = Inventory(certificates=(certificate,))
        ensure_safe(plan, cluster, inventory, self._view.secrets.values(), owner)

    def _apply(self, change: Change, certificate: Certificate, candidate: Candidate) -> None:
        body = self._body(change, certificate, candidate.material)
        if change.extra_keys:
            # A forced apply leaves other managers' keys in place. Claim them (with a value that nobody else
            # can own), then drop them: the certificate itself is whole in both steps.
            claim = {key: secrets.token_bytes(16) for key in change.extra_keys}
            claiming = self._body(change, certificate, candidate.material | claim)
            version = self._target.apply(change.target, claiming, uid=change.uid)
            body["metadata"]["resourceVersion"] = version
        self._target.apply(change.target, body, uid=change.uid)

    def _body(self, change: Change, certificate: Certificate, data: dict[str, bytes]) -> dict[str, Any]:
        """Our metadata and the data, nothing else of the source; uid and resourceVersion on an update."""
        metadata: dict[str, Any] = {
            "name": change.target.name,
            "namespace": change.target.namespace,
            "labels": ownership.labels(self._order.config.owner),
            "annotations": ownership.annotations(certificate),
        }
        if change.uid:
            metadata |= {"uid": change.uid, "resourceVersion": change.resource_version}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": ownership.SECRET_TYPE,
            "metadata": metadata,
            "data": {key: b64encode(value).decode("ascii") for key, value in data.items()},
        }


class _Brake:
    """Stops the writes to a cluster whose API server has failed several times in a row.

    Failures of single objects (a webhook of one namespace, a conflict) say nothing about the others.
    """

    def __init__(self) -> None:
        self._lock, self._failures = threading.Lock(), 0

    @property
    def is_on(self) -> bool:
        return self._failures >= GIVE_UP_AFTER

    def record(self, code: Code | None) -> None:
        with self._lock:
            if code is None:
                self._failures = 0
            elif code in (Code.UNREACHABLE, Code.TIMEOUT, Code.THROTTLED):
                self._failures += 1


def _name(secret: dict[str, Any]) -> str:
    return str((secret.get("metadata") or {}).get("name"))
