"""A run that is told to stop, as by an eviction or Ctrl-C, in the middle of its writes."""

import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tasks.domain.models import Action
from tests.support.clusters import World
from tests.support.fault_proxy import Answer, Forward, Request, SlowWrites
from tests.support.waiting import read_until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
COUNT = 24
TOLD = "stop requested: writes in progress finish, no new ones start, then the report follows"


def flow(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_second_ctrl_c_takes_the_report_away_and_says_so(world: World) -> None:
    """Nobody is sent to a report that did not come; also then no other write begins."""
    world.configure(clusters=["dev"])
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    writing, go_on = threading.Event(), threading.Event()

    def held(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            writing.set()
            go_on.wait(90)
        return forward()

    with world.proxy() as proxy:
        proxy.fault = held
        process = flow(PREFECT_API_URL=str(PREFECT_API_URL.value()))
        assert writing.wait(90)
        process.send_signal(signal.SIGINT)
        read_until(process, TOLD)
        process.send_signal(signal.SIGINT)
        read_until(process, "Crash detected")
        go_on.set()
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "tls-sync: interrupted: no report; tls-sync plan shows what is left to do\n" in output
    assert 0 < len(world.versions()) < COUNT


def test_ctrl_c_while_prefects_own_server_starts(world: World, tmp_path: Path) -> None:
    """Where PREFECT_API_URL names none, one starts for this run, which takes a while."""
    world.issue("web-tls")
    process = flow(PREFECT_API_URL="", PREFECT_HOME=str(tmp_path))
    output = read_until(process, "Starting temporary server")
    process.send_signal(signal.SIGINT)
    output += process.communicate(timeout=300)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "tls-sync: interrupted before a run began: nothing was written\n" in output
    assert world.versions() == {}


def to_the_process(process: subprocess.Popen[str], told: signal.Signals) -> None:
    process.send_signal(told)


def to_another_thread(process: subprocess.Popen[str], told: signal.Signals) -> None:
    """The system chooses which thread gets a signal; as a rule, and no more, it is the main one."""
    threads = sorted(int(one.name) for one in Path(f"/proc/{process.pid}/task").iterdir())
    tgkill = {"x86_64": 234, "aarch64": 131}[platform.machine()]  # Python has no call for it
    assert ctypes.CDLL(None, use_errno=True).syscall(tgkill, process.pid, threads[-1], int(told)) == 0


@pytest.mark.parametrize(
    ("told", "give"),
    [(signal.SIGINT, to_the_process), (signal.SIGTERM, to_another_thread)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_run_that_is_told_to_stop_begins_no_other_write(
    world: World, told: signal.Signals, give: Callable[[subprocess.Popen[str], signal.Signals], None]
) -> None:
    """Writes under way end, no other begins, the report says what is left, and the next run does that."""
    world.configure(clusters=["dev"])
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    # Four at a time, all of them take 18 seconds: in that time even a busy machine hears of the signal.
    slowly = SlowWrites(3)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = flow(PREFECT_API_URL=str(PREFECT_API_URL.value()))
        assert slowly.begun.wait(90)
        give(process, told)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == (130 if told is signal.SIGINT else -told)
    reported = "tls-sync: interrupted; the report above shows what was done\n"
    assert output.endswith(reported) is (told is signal.SIGINT)
    written = len(world.versions())
    assert 0 < written == len(slowly.paths) < COUNT, output
    exit_fast, after = output.index(TOLD), output.index("Interrupted: write")
    assert exit_fast < after
    assert output.count(TOLD) == 1
    assert f"Interrupted: write {COUNT - written} of {COUNT} secrets" in output
    assert f"dev      {written}" in output
    report = world.sync()
    assert (report.counts[Action.CREATE], report.counts[Action.KEEP]) == (COUNT - written, written)
