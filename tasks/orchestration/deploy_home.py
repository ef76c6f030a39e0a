"""A step of `prefect deploy`: TLS_SYNC_HOME must name the folder in which runs find this repository.

prefect.yaml names this file, which Prefect loads by its path: it needs the standard library alone.
"""

import os
import sys
from pathlib import Path

VARIABLE, FLOW = "TLS_SYNC_HOME", "flows/tls_sync.py"
REMEDY = (
    "Set it to the folder in which runs find this repository. For a worker on this machine: "
    f"export {VARIABLE}=$PWD; for runs in pods of the image: export {VARIABLE}=/opt/tls-sync"
)


def require_home() -> dict[str, str]:
    """End `prefect deploy` with a sentence where runs would not find their flow.

    A folder that does not exist here may exist where runs start, as that of the image does.
    """
    if problem := home_problem(os.environ.get(VARIABLE)):
        sys.stderr.write(f"tls-sync: nothing was deployed: {problem}\n")
        raise SystemExit(1)  # Prefect would print a traceback for any other exception
    return {}


def home_problem(home: str | None) -> str:
    """Return what is wrong with the value of TLS_SYNC_HOME, and what to do; an empty text if nothing is."""
    if home is None or not home.strip():
        return f"{VARIABLE} is {'not set' if home is None else 'empty'}. {REMEDY}"
    if not home.startswith("/"):
        return f"{VARIABLE} is {home!r}, but must be an absolute path. {REMEDY}"
    if Path(home).exists() and not Path(home, FLOW).is_file():
        return f"{VARIABLE} is {home!r}, where there is no {FLOW}. {REMEDY}"
    return ""
