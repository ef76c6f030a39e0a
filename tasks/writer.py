"""Read from OPS, check again, write: the one place where a private key is on its way.

A key exists here inside `_send_all`, from the moment OPS's answer arrives to the moment the target has it.
"""

import secrets
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from tasks import ownership
from tasks.candidate import Candidate, Refused
from tasks.checks import Policy, examine
from tasks.cluster import ClusterClient
from tasks.config import Wanted
from tasks.errors import ClusterError
from tasks.kubeconfig import CONNECTIONS
from tasks.models import Certificate, Change, Failure, Plan, Rejection, SecretRef, TargetSecret
from tasks.order import Order
from tasks.plan import decide
from tasks.reasons import Code

GIVE_UP_AFTER = 3
"""Failures in a row that another attempt might mend, after which a cluster is left in peace."""
LIST_FROM_SHARE = 0.25
"""From this share of OPS's certificates on, one list costs less than a request for each."""

Outcome = tuple[Change, Failure | None]


class Writer:
    """Carries out the writes of one plan in one cluster."""

    def __init__(
        self,
        source: ClusterClient,
        target: ClusterClient,
        order: Order,
        found: dict[str, dict[SecretRef, TargetSecret]],
    ) -> None:
        self._source, self._target, self._order, self._found = source, target, order, found
        self._known = {certificate.ref.name: certificate for certificate in order.inventory.certificates}
        self._brake = _Brake()

    def write(self, plan: Plan) -> tuple[tuple[Change, ...], list[Failure]]:
        """All rows of the plan as they turned out, and what went wrong."""
        wanted: dict[str, list[Change]] = defaultdict(list)
        for change in plan.writes:
            wanted[change.certificate].append(change)
        outcomes = {change.target: change for change in plan.changes}
        failures: list[Failure] = []
        try:
            for change, failure in self._deliver(wanted):
                outcomes[change.target] = change
                failures += [failure] if failure else []
        except ClusterError as error:  # OPS could not be read to the end; what was written stays said
            failures.append(error.failure)
        return tuple(outcomes.values()), failures

    def _deliver(self, wanted: dict[str, list[Change]]) -> Iterator[Outcome]:
        missing = set(wanted)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for page in self._pages(tuple(wanted)):
                present = [(secret, wanted[name]) for secret in page if (name := _name(secret)) in missing]
                missing -= {_name(secret) for secret, _ in present}
                for sent in pool.map(lambda pair: self._send_all(*pair), present):
                    yield from sent
        for name in missing:
            yield from ((self._decide_again(change, None), None) for change in wanted[name])

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
            return change, None
        candidate = Candidate(secret)
        certificate = self._check_again(candidate, secret, change)
        if certificate != self._known.get(change.certificate):
            change = self._decide_again(change, certificate)
        if isinstance(certificate, Rejection) or not change.writes:
            return change, None
        try:
            self._apply(change, certificate, candidate)
        except ClusterError as error:
            self._brake.record(failed=error.failure.transient)
            return change, error.failure
        self._brake.record(failed=False)
        return change.model_copy(update={"applied": True}), None

    def _check_again(
        self, candidate: Candidate, secret: dict[str, Any], change: Change
    ) -> Certificate | Rejection:
        """The facts that the plan was made on, if the content is still the same and valid; else new ones."""
        known, now = self._known[change.certificate], datetime.now(UTC)
        try:
            if candidate.fingerprint == known.version.fingerprint and known.version.not_after > now:
                return known
        except Refused:
            pass  # examine says why
        policy = Policy(now=now, allow_self_signed=self._order.config.source.allow_self_signed)
        return examine(known.ref, secret, policy)

    def _decide_again(self, change: Change, source: Certificate | Rejection | None) -> Change:
        """OPS has moved on since the plan was made: the same table, the new facts."""
        want = Wanted(target=change.target, certificate=change.certificate, literal=True)
        current = self._found[change.target.namespace].get(change.target)
        cluster, owner = self._order.cluster, self._order.config.owner
        return decide(want, source, current, cluster.hostnames, owner, datetime.now(UTC)) or change

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
    """Stops the writes to a cluster that has failed several times in a row."""

    def __init__(self) -> None:
        self._lock, self._failures = threading.Lock(), 0

    @property
    def is_on(self) -> bool:
        return self._failures >= GIVE_UP_AFTER

    def record(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0


def _name(secret: dict[str, Any]) -> str:
    return str((secret.get("metadata") or {}).get("name"))
