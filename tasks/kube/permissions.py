"""What a SelfSubjectRulesReview says about Secrets. Pure."""

from typing import Any

from tasks.domain.models import Model

REQUIRED = frozenset({"list", "create", "patch", "get"})
"""Verbs on a target. Server-side apply of a new Secret needs create and patch; an edited copy needs get."""
REQUIRED_TO_PRUNE = REQUIRED | {"delete"}
REQUIRED_ON_OPS = frozenset({"get", "list"})
REQUIRED_OF_CREDENTIALS = frozenset({"get"})
"""Verbs where each cluster has its own Secret: read by name, and never listed."""
ALLOWED_ON_OPS = frozenset({"get", "list", "watch"})


class Permissions(Model):
    """Verbs that are allowed on all Secrets of one namespace."""

    verbs: frozenset[str] = frozenset()
    complete: bool = True
    """False if an authorizer can't list its rules: then a verb that is not listed may still be allowed."""

    def missing(self, required: frozenset[str] = REQUIRED) -> tuple[str, ...]:
        return tuple(sorted(required - self.verbs)) if self.complete and "*" not in self.verbs else ()

    def excess(self, required: frozenset[str] = REQUIRED) -> tuple[str, ...]:
        return tuple(sorted(self.verbs - required))


def required_verbs(*, prune: bool) -> frozenset[str]:
    """Return the verbs that a target needs, with or without `prune: true`."""
    return REQUIRED_TO_PRUNE if prune else REQUIRED


def parse_permissions(status: dict[str, Any]) -> Permissions:
    """Parse the status of a review. Raises AttributeError, KeyError or TypeError if it is malformed."""
    verbs: set[str] = set()
    for rule in status.get("resourceRules") or []:
        groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
        is_about_secrets = {"", "*"} & set(groups) and {"secrets", "*"} & set(resources)
        if is_about_secrets and not rule.get("resourceNames"):
            verbs |= set(rule["verbs"])
    return Permissions(verbs=frozenset(verbs), complete=not status.get("incomplete"))
