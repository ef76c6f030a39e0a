"""`python -m flows.execute`: the command of a run's pod, which executes one flow run in this process.

`prefect flow-run execute` starts two more processes, and each loads Prefect again: 3.5 times the CPU and 1.6
times the memory of an unchanged run. The chart's value tlsSync.oneProcess goes back to it.
"""

import os
import signal
import sys
import threading
from uuid import UUID

from tasks.runtime.command import exit_fast, run_command
from tasks.runtime.imports import importing, lean_import

VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Names the run; Prefect's worker sets it."""


def main() -> int:
    """Exit status 0 where Prefect knows how the run ended, 1 where its pod must count as failed."""
    terminated = threading.Event()
    # Prefect's engine has a handler of its own as long as it runs; by default, the signal would kill the
    # process during the imports, and the run would be Crashed and not started again.
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    try:
        run_id = UUID(os.environ.get(VARIABLE, ""))
    except ValueError:
        sys.stderr.write(f"tls-sync: {VARIABLE} must be the id of a flow run; Prefect's worker sets it\n")
        return 1
    with importing():
        execution = lean_import("tasks.orchestration.execution")
    return int(execution.execute(run_id, terminated))


if __name__ == "__main__":
    sys.exit(exit_fast(lambda: run_command(main)))
