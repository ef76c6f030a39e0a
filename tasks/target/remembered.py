"""What a process that lives long knows of a target since it last looked there.

What is remembered may be outdated. Writes are bound to the uid and resourceVersion that they were decided on,
so that an outdated memory costs a conflict and a look, and never a wrong write.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.annotations import SOURCE
from tasks.domain.models import SecretRef, TargetSecret
from tasks.kube.permissions import Permissions
from tasks.kubeconfig.reader import file_version
from tasks.plan.observed import ObservedState


@dataclass
class Look:
    """What a sync has found out about its cluster."""

    observed: ObservedState = field(default_factory=ObservedState)
    warnings: tuple[str, ...] = ()
    """Those about its identity."""
    rights: dict[str, Permissions] = field(default_factory=dict)
    """By namespace, where something had to be written."""
    credential: tuple[object, ...] = ()
    """Which credential led there; see Access.version."""


class RememberedCluster:
    """Usable from several threads. All moments are values of time.monotonic()."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        with self._lock:
            self._secrets: dict[SecretRef, TargetSecret] = {}
            self._seen: dict[SecretRef, float] = {}
            self._by_source: dict[str, set[SecretRef]] = defaultdict(set)
            self._namespaces: dict[str, float] = {}
            self._identified: float | None = None
            self._credential: tuple[object, ...] = ()
            self._rights: dict[str, tuple[float, Permissions]] = {}
            self.warnings: tuple[str, ...] = ()
            """Those about its identity."""

    def keep(self, look: Look, began: float) -> None:
        """Remember a sync that began then and met no failure; what has been written since counts more."""
        self.confirm(began, look.warnings, look.rights, look.credential)
        observed = look.observed
        with self._lock:
            for ref in [one for one in self._secrets if one.namespace in observed.namespaces]:
                if self._seen[ref] <= began:
                    self._remove(ref)
            for ref, secret in observed.secrets.items():
                if self._seen.get(ref, began) <= began:
                    self._put(secret, began)
            self._namespaces |= dict.fromkeys(observed.namespaces, began)

    def confirm(
        self,
        at: float,
        warnings: tuple[str, ...] | None,
        rights: Mapping[str, Permissions],
        credential: tuple[object, ...],
    ) -> None:
        """Remember what was verified then; None for warnings where the identity was not."""
        with self._lock:
            if warnings is not None:
                self._identified, self.warnings, self._credential = at, warnings, credential
            self._rights |= {namespace: (at, found) for namespace, found in rights.items()}

    def record(self, refs: Iterable[SecretRef], observed: ObservedState, at: float) -> None:
        """Remember these Secrets as `observed` has them after a write."""
        with self._lock:
            for ref in refs:
                self._remove(ref)
                if secret := observed.secrets.get(ref):
                    self._put(secret, at)

    def update(self, copy: TargetSecret, now: TargetSecret, at: float) -> None:
        """Remember a copy as it is now, unless something else has become known of it meanwhile."""
        with self._lock:
            if now is not copy and self._secrets.get(copy.ref) is copy:
                self._put(now, at)

    def observed(self, targets: Iterable[SecretRef], certificate: str) -> ObservedState:
        """What is known of these Secrets, and of all copies of this certificate."""
        with self._lock:
            refs = {*targets, *self._by_source.get(certificate, ())}
            found = {ref: self._secrets[ref] for ref in refs if ref in self._secrets}
            return ObservedState(secrets=found, namespaces={*self._namespaces}, is_kept=True)

    def holds(self, ref: SecretRef) -> bool:
        with self._lock:
            return ref in self._secrets

    def is_seen_since(self, ref: SecretRef, moment: float) -> bool:
        with self._lock:
            return self._seen.get(ref, moment) > moment

    def is_identified_since(self, moment: float) -> bool:
        with self._lock:
            return self._identified is not None and self._identified > moment

    def is_identified_by(self, credential: tuple[object, ...]) -> bool:
        """Whether the identity was verified with this credential: another may lead to another cluster."""
        with self._lock:
            return self._credential == credential

    def rights_since(self, namespaces: Iterable[str], moment: float) -> dict[str, Permissions]:
        """Our permissions in those of these namespaces where they were reviewed after this moment."""
        with self._lock:
            known = {one: self._rights[one] for one in namespaces if one in self._rights}
        return {one: rights for one, (at, rights) in known.items() if at > moment}

    def _put(self, secret: TargetSecret, at: float) -> None:
        self._remove(secret.ref)
        self._secrets[secret.ref], self._seen[secret.ref] = secret, at
        self._by_source[_source_of(secret)].add(secret.ref)

    def _remove(self, ref: SecretRef) -> None:
        self._seen.pop(ref, None)
        if secret := self._secrets.pop(ref, None):
            name = _source_of(secret)
            self._by_source[name].discard(ref)
            if not self._by_source[name]:
                del self._by_source[name]


class RememberedTargets:
    """The memory of each cluster, as long as neither the configuration nor the kubeconfig changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._config: SyncConfig | None = None
        self._kubeconfig: tuple[object, ...] = ()
        self._clusters: dict[str, RememberedCluster] = {}

    def of(self, config: SyncConfig, cluster: Cluster) -> RememberedCluster:
        """Return what is known of a cluster. A configuration that was read again is another object."""
        version = file_version()
        unreadable = config.uses_kubeconfig and not version
        with self._lock:
            if self._config is not config or self._kubeconfig != version or unreadable:
                self._config, self._kubeconfig, self._clusters = config, version, {}
            return self._clusters.setdefault(cluster.name, RememberedCluster())


def _source_of(secret: TargetSecret) -> str:
    return secret.annotations.get(SOURCE, "").rpartition("/")[2]
