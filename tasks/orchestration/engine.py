"""The parts of Prefect's engine that tasks/orchestration/execution.py uses, and that are not public.

A new Prefect that changes one of them turns tests/apiserver/test_execute.py red. `prefect flow-run execute`
uses the same; see prefect/engine.py and prefect/cli/flow_run.py.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from prefect._internal.control_listener import _set_intent, get_intent
from prefect.engine import handle_engine_signals
from prefect.flow_engine import load_flow, run_flow
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.engine import propose_state_sync

__all__ = [
    "Intent",
    "flow_run_logger",
    "handle_engine_signals",
    "intent",
    "load_flow",
    "propose_state_sync",
    "run_flow",
    "set_intent",
]


class Intent(Enum):
    """How the engine ends a run whose process gets SIGTERM. Without one, the run is Crashed."""

    CANCEL = "cancel"
    """It sets the run to Cancelled."""
    RESCHEDULE = "reschedule"
    """It leaves the state to the caller, which asks for another attempt."""
    RELINQUISH = "relinquish"
    """It leaves the state as it is, for infrastructure that starts failed pods again."""


def set_intent(value: Intent) -> None:
    """Set it for a SIGTERM that comes later, in whichever thread."""
    setter: Callable[[Any], None] = _set_intent
    setter(value.value)


def intent() -> Intent | None:
    found = get_intent()
    return Intent(found) if found else None
