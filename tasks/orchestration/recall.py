"""How a run calls back its tasks that are at work on other machines. Pure.

By a label of its own in Prefect, which says at which attempt that was: a run that is begun once more still
has the label of the attempt before.
"""

from collections.abc import Mapping
from typing import Any

LABEL = "tls-sync.recalled"
OVER = frozenset({"CANCELLING", "CANCELLED", "COMPLETED", "CRASHED", "FAILED"})
"""Types of Prefect's states in which nobody waits for a task any more."""


def labels_of(attempt: int) -> dict[str, bool | int | float | str]:
    """What a run says of itself."""
    return {LABEL: attempt}


def is_recalled(labels: Mapping[str, Any], state: str, attempts: int, mine: int) -> bool:
    """Whether the tasks of a run's attempt are to end, by what Prefect knows of the run now."""
    told = labels.get(LABEL)
    return state in OVER or attempts > mine or (type(told) is int and told >= mine)
