"""Runs the real flow in this process and captures the report that it logs.

prefect is imported only here and only for a run, once its settings are in the environment.
"""

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from deployments.sandbox.progress import Waiting, say

SETTINGS = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    # The demo shows the report itself, and nothing else of Prefect's log.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}


@dataclass(frozen=True)
class RunResult:
    state: str
    """`Completed`, or the name of the failed state."""
    message: str
    report: str

    def written(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of created and updated copies by cluster in the report's table."""
        lines = iter(self.report.splitlines())
        for line in lines:
            if line.startswith("cluster "):
                break
        rows = (line.split() for line in takewhile(bool, lines))
        return {row[0]: (int(row[1]), int(row[2])) for row in rows}


class _Report(logging.Handler):
    """Keeps what the flow's module `publish` logs, and nothing of Prefect's own."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "publish":
            self.text = record.getMessage()


def run(what: str, parameters: dict[str, Any]) -> RunResult:
    """Run the flow in a thread, so that Ctrl-C need not wait for retries and we can show progress."""
    future: Future[RunResult] = Future()
    threading.Thread(target=_run_in_thread, args=(future, parameters), daemon=True).start()
    waiting = Waiting(what, say)
    say(f"... {what}")
    while not future.done():
        waiting.tick()
        threading.Event().wait(0.1)
    say(f"... it took {waiting.seconds} s")
    return future.result()


def _run_in_thread(future: Future[RunResult], parameters: dict[str, Any]) -> None:
    try:
        future.set_result(_run(parameters))
    except BaseException as error:  # noqa: BLE001 (result() raises it again)
        future.set_exception(error)


def _run(parameters: dict[str, Any]) -> RunResult:
    from flows.tls_sync import tls_sync  # noqa: PLC0415

    handler, logger = _Report(), logging.getLogger("prefect.flow_runs")
    logger.addHandler(handler)
    try:
        state = tls_sync(**parameters, return_state=True)
    finally:
        logger.removeHandler(handler)
    return RunResult(str(state.name), str(state.message), handler.text)
