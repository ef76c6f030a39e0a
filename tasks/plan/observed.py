"""What a run has observed on a target. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.domain.models import Change, Failure, Plan, SecretRef, TargetSecret
from tasks.domain.reasons import Reason


@dataclass
class ObservedState:
    """Grows while a target is read. Nothing is planned where nothing was observed."""

    secrets: dict[SecretRef, TargetSecret] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)
    """Namespaces that could be listed."""
    unreadable: set[SecretRef] = field(default_factory=set)
    """Secrets that had to be read, and could not be."""
    unread_sources: frozenset[str] = frozenset()
    """Certificates on OPS that had to be read, and could not be."""
    failures: list[Failure] = field(default_factory=list)
    is_partial: bool = False
    """It is not known which namespaces have the labels of a route."""
    is_kept: bool = False
    """It is used beyond this sync, so what is written is noted in it."""

    def add(self, namespace: str, found: Iterable[TargetSecret]) -> None:
        self.namespaces.add(namespace)
        self.secrets |= {secret.ref: secret for secret in found}

    def update(self, ref: SecretRef, secret: TargetSecret | None) -> None:
        """Replace what is known of one Secret; None where it is gone."""
        if secret:
            self.secrets[ref] = secret
        else:
            self.secrets.pop(ref, None)

    def only_observed(self, plan: Plan) -> Plan:
        """The plan without the rows about what could not be observed."""
        changes = tuple(
            row
            for row in plan.changes
            if row.reason is Reason.INVALID_TARGET_NAME
            or (self._has_observed(row.target) and not self._may_be_contested(row))
        )
        unread = {target: name for target, name in plan.unread.items() if self._has_observed(target)}
        return plan.model_copy(update={"changes": changes, "unread": unread})

    def _may_be_contested(self, row: Change) -> bool:
        """Whether another certificate's copy would be replaced, which a route by label may send still."""
        return self.is_partial and row.reason is Reason.SOURCE_CHANGED

    def _has_observed(self, target: SecretRef) -> bool:
        return target.namespace in self.namespaces and target not in self.unreadable
