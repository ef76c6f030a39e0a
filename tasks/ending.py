"""The last words of a command that is interrupted or lacks its dependencies; so it imports none of these."""

import sys
from collections.abc import Callable
from enum import Enum

INTERRUPTED = 130
MISSING = "the dependencies are missing: make .venv/ready && export PATH=$PWD/.venv/bin:$PATH"


class Stage(Enum):
    """How far this process's run has come, and what an interruption leaves to say there."""

    NOT_BEGUN = "interrupted before a run began: nothing was written"
    BEGUN = "interrupted: no report; python -m flows --dry-run says what is left"
    REPORTED = "interrupted; the report above says what was done"


class _Run:
    stage = Stage.NOT_BEGUN


def reached(stage: Stage) -> None:
    _Run.stage = stage


def last_words() -> str:
    return _Run.stage.value


def ended(command: Callable[[], int]) -> int:
    """The exit status of a command; what it has yet to import, it imports in here."""
    try:
        return command()
    except KeyboardInterrupt:
        return interrupted("interrupted")
    except ModuleNotFoundError as error:
        if not _is_dependency(error.name or ""):
            raise  # a defect of ours, or half a Python
        sys.stderr.write(f"tls-sync: {MISSING}\n")
        return 1


def interrupted(words: str) -> int:
    sys.stderr.write(f"tls-sync: {words}\n")
    return INTERRUPTED


def _is_dependency(module: str) -> bool:
    """A package that isn't there at all; of one that is, a missing part is no matter of `make`."""
    ours = ("tasks", "flows", "deployments")
    return bool(module) and "." not in module and module not in (*ours, *sys.stdlib_module_names)
