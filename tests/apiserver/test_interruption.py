"""A run that is told to stop, as by an eviction or Ctrl-C, in the middle of its writes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tasks.models import Action
from tests.fault_proxy import Answer, Forward, Request
from tests.world import World

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
COUNT = 24


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_that_is_told_to_stop_begins_no_other_write(world: World, told: signal.Signals) -> None:
    """Writes under way end, no other begins, the report says what is left, and the next run does that."""
    world.configure(clusters=["dev"])
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    writing, arrived = threading.Event(), []
    # Four at a time, all of them take 18 seconds: in that time even a busy machine hears of the signal.

    def slowly(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            arrived.append(request.path)
            writing.set()
            time.sleep(3)
        return forward()

    with world.proxy() as proxy:
        proxy.fault = slowly
        process = subprocess.Popen(
            [sys.executable, "-m", "flows"],
            cwd=ROOT,
            env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert writing.wait(90)
        process.send_signal(told)
        output, _ = process.communicate(timeout=300)
    assert process.returncode
    written = len(world.versions())
    assert 0 < written == len(arrived) < COUNT
    assert f"Interrupted: write {COUNT - written} of {COUNT} secrets" in output
    assert f"dev      {written}" in output
    report = world.deliver()
    assert (report.counts[Action.CREATE], report.counts[Action.KEEP]) == (COUNT - written, written)
