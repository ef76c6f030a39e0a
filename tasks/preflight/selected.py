"""What the labels of a target's namespaces mean for a run. Pure."""

from collections.abc import Iterator

from tasks.config.schema import Cluster
from tasks.domain.failure_codes import FailureCode
from tasks.preflight.diagnose import error, on_target, warning
from tasks.preflight.model import Check, Finding
from tasks.target.selected import Selection, binding_command

PROTECTED = "Protected"


def selection_findings(cluster: Cluster, chosen: Selection, user: str) -> Iterator[Finding]:
    """Yield errors for what a run could not list, and for each namespace the command that binds it."""
    for failure in chosen.failures:
        forbidden = failure.code is FailureCode.FORBIDDEN
        remedy = on_target(cluster.name) if forbidden else failure.code.remedy
        yield error(Check.NAMESPACES, failure.code, failure.explanation, remedy)
    for namespace in sorted(chosen.labelled.difference(chosen.bound)):
        text = f"{namespace}: it has the label of a route, and no binding"
        remedy = f"its owner binds it: {binding_command(namespace, user)}"
        yield error(Check.NAMESPACES, FailureCode.FORBIDDEN, text, remedy)
    for text in chosen.warnings:
        yield warning(Check.NAMESPACES, PROTECTED, text, "take the label off")
