"""What a SelfSubjectRulesReview says about Secrets. Pure."""

from typing import Any

from tasks.domain.models import Model

NEEDED = frozenset({"list", "create", "patch", "get"})
"""Server-side apply of a new Secret needs create and patch; get is for a copy that someone edited."""
NEEDED_TO_PRUNE = NEEDED | {"delete"}
NEEDED_ON_OPS = frozenset({"get", "list"})
HARMLESS_ON_OPS = frozenset({"get", "list", "watch"})


class Rights(Model):
    """Verbs on Secrets of one namespace, whatever their names."""

    verbs: frozenset[str] = frozenset()
    complete: bool = True
    """False where an authorizer can't name all of its rules: then nothing follows from what is missing."""

    def missing(self, needed: frozenset[str] = NEEDED) -> tuple[str, ...]:
        return tuple(sorted(needed - self.verbs)) if self.complete and "*" not in self.verbs else ()

    def excess(self, needed: frozenset[str] = NEEDED) -> tuple[str, ...]:
        return tuple(sorted(self.verbs - needed))


def needed(*, prune: bool) -> frozenset[str]:
    """In a namespace of a target that is pruned, or not."""
    return NEEDED_TO_PRUNE if prune else NEEDED


def parse_rights(status: dict[str, Any]) -> Rights:
    """From the status of a review. Malformed ones raise what Python raises."""
    verbs: set[str] = set()
    for rule in status.get("resourceRules") or []:
        groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
        is_about_secrets = {"", "*"} & set(groups) and {"secrets", "*"} & set(resources)
        if is_about_secrets and not rule.get("resourceNames"):
            verbs |= set(rule["verbs"])
    return Rights(verbs=frozenset(verbs), complete=not status.get("incomplete"))
