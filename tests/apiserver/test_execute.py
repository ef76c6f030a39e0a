"""A run in its pod's one process, `python -m flows.execute`, against a real Prefect server.

Each test also holds a promise of Prefect's engine on which tasks/orchestration/engine.py relies.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Completed, Crashed

from tests.support.clusters import World
from tests.support.fault_proxy import SlowWrites
from tests.support.prefect_command import ROOT, environment
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server")]

COUNT = 24
POOL = "one-process"
FLOW = "flows/tls_sync.py:tls_sync"
BEHAVIOR = "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"
SIGTERM_BIT = 1 << (signal.SIGTERM - 1)


class Runs:
    """Runs of a deployment, each executed as a pod does."""

    def __init__(self, client: SyncPrefectClient, home: Path) -> None:
        self.client, self._home = client, home
        if POOL not in {pool.name for pool in client.read_work_pools()}:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))

    def create(self, entrypoint: str = FLOW, **parameters: Any) -> FlowRun:
        deployment = self.client.create_deployment(
            flow_id=self.client.create_flow_from_name("tls-sync"),
            name="one-process",
            work_pool_name=POOL,
            entrypoint=entrypoint,
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
        )
        return self.client.create_flow_run_from_deployment(deployment, parameters=parameters)

    def start(self, run: FlowRun, **variables: str) -> subprocess.Popen[str]:
        given = environment(self._home, **{"PREFECT__FLOW_RUN_ID": str(run.id), **variables})
        command = [sys.executable, "-m", "flows.execute"]
        return subprocess.Popen(
            command, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def execute(self, run: FlowRun, **variables: str) -> tuple[int, str]:
        """Return the exit status and the output."""
        process = self.start(run, **variables)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def now(self, run: FlowRun) -> FlowRun:
        return self.client.read_flow_run(run.id)

    def state(self, run: FlowRun) -> str:
        state = self.now(run).state
        return state.name or "" if state else ""

    def message(self, run: FlowRun) -> str:
        state = self.now(run).state
        return state.message or "" if state else ""

    def states(self, run: FlowRun) -> list[str]:
        """Return the types of all states that the run has had."""
        return [state.type.value for state in self.client.read_flow_run_states(run.id)]

    def log(self, run: FlowRun) -> str:
        """Return what Prefect's UI shows of the run."""
        logs = self.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        return "\n".join(one.message for one in logs)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with get_client(sync_client=True) as client:
        yield Runs(client, tmp_path)


def requests(world: World) -> int:
    """The number of tls-sync's requests to the targets: API servers send some to themselves, too."""
    return sum(len(world.requests(name)) for name in world.targets)


def test_a_run_is_completed(world: World, runs: Runs) -> None:
    """The copies are there, Prefect has the run as Completed, and its log has the report."""
    world.issue("web-tls")
    run = runs.create(cluster="dev")
    status, output = runs.execute(run)
    assert (status, runs.state(run)) == (0, "Completed"), output
    assert world.copy("web-tls", "dev") is not None
    assert world.copy("web-tls", "rct") is None
    assert "cluster  create" in until("the log", lambda: runs.log(run))


def test_a_failed_run_is_no_failure_of_its_pod(world: World, runs: Runs) -> None:
    """Prefect knows that the run is Failed, and why, so the pod succeeds, as with Prefect's own command."""
    world.issue("web-tls")
    run = runs.create(cluster="no-such-cluster")
    status, output = runs.execute(run)
    assert (status, runs.state(run)) == (0, "Failed"), output
    assert "no-such-cluster" in runs.message(run)


def test_a_run_that_is_cancelled_before_it_begins(world: World, runs: Runs) -> None:
    """It becomes Cancelled, and no cluster gets a request."""
    run = runs.create()
    runs.client.set_flow_run_state(run.id, Cancelling())
    before = requests(world)
    assert runs.execute(run)[0] == 0
    assert (runs.state(run), runs.now(run).run_count, requests(world)) == ("Cancelled", 0, before)


def test_a_final_run_is_not_executed_again(world: World, runs: Runs) -> None:
    """A pod that is started once more for a run that has ended does nothing."""
    run = runs.create()
    runs.client.set_flow_run_state(run.id, Completed(), force=True)
    before = requests(world)
    assert runs.execute(run)[0] == 0
    assert (runs.state(run), runs.now(run).run_count, requests(world)) == ("Completed", 0, before)


def test_a_flow_that_cant_be_loaded(runs: Runs) -> None:
    """The run is Crashed and says why, and its pod fails."""
    run = runs.create(entrypoint="flows/no_such_file.py:tls_sync")
    status, _ = runs.execute(run)
    assert (status, runs.state(run)) == (1, "Crashed")
    assert runs.message(run).startswith("The flow could not be loaded (")


def test_without_a_run_id(tmp_path: Path) -> None:
    """One sentence says what is missing."""
    given = environment(tmp_path, PREFECT__FLOW_RUN_ID="")
    command = [sys.executable, "-m", "flows.execute"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    sentence = "tls-sync: PREFECT__FLOW_RUN_ID must be the id of a flow run; Prefect's worker sets it\n"
    assert (done.returncode, done.stderr) == (1, sentence)


@pytest.mark.parametrize(
    "variables",
    [
        {"PREFECT_API_URL": "http://127.0.0.1:1/api"},
        {"PREFECT__FLOW_RUN_ID": "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"},
    ],
    ids=["nothing answers", "a deleted run"],
)
def test_a_run_that_prefect_does_not_return(runs: Runs, variables: dict[str, str]) -> None:
    """One sentence says so and what to check, and the pod fails."""
    run = runs.create()
    status, output = runs.execute(run, **variables)
    assert status == 1
    (line,) = (line for line in output.splitlines() if line.startswith("tls-sync: "))
    assert line.endswith("; check PREFECT_API_URL and its credentials")
    assert "Traceback" not in output


@contextmanager
def writing(world: World, runs: Runs, run: FlowRun, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of its writes to DEV, which take 18 seconds in all."""
    world.configure(clusters=["dev"])
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    slowly = SlowWrites(3)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = runs.start(run, **variables)
        assert slowly.begun.wait(120)
        yield process
    assert 0 < len(world.versions()) == len(slowly.paths) < COUNT


def test_a_cancelled_run_ends_as_cancelled_with_its_report(world: World, runs: Runs) -> None:
    """Writes in progress end, no other begins, and the run never is Crashed."""
    run = runs.create()
    with writing(world, runs, run, **{BEHAVIOR: "reschedule"}) as process:
        runs.client.set_flow_run_state(run.id, Cancelling())
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert runs.state(run) == "Cancelled", output
    assert not {"CRASHED", "FAILED"} & set(runs.states(run))
    assert "Interrupted: write" in until("the log", lambda: runs.log(run))


def test_a_terminated_run_is_scheduled_again_with_its_report(world: World, runs: Runs) -> None:
    """SIGTERM, as by an eviction: AwaitingRetry, and the second attempt does what is left."""
    run = runs.create()
    with writing(world, runs, run, **{BEHAVIOR: "reschedule"}) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert runs.state(run) == "AwaitingRetry", output
    assert not {"CRASHED", "FAILED"} & set(runs.states(run))
    assert "Interrupted: write" in until("the log", lambda: runs.log(run))
    assert runs.execute(run)[0] == 0
    assert (runs.state(run), runs.now(run).run_count) == ("Completed", 2)
    assert len(world.versions()) == COUNT


def test_a_run_that_is_cancelled_in_its_last_seconds(world: World, runs: Runs) -> None:
    """Nobody has noticed when its flow ends; it is Cancelled all the same, without a traceback."""
    world.configure(clusters=["dev"])
    world.issue("web-tls")
    run = runs.create()
    slowly = SlowWrites(0.5)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = runs.start(run)
        assert slowly.begun.wait(120)
        runs.client.set_flow_run_state(run.id, Cancelling())
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, runs.state(run)) == (0, "Cancelled"), output
    assert "Traceback" not in output


def test_a_cancelled_run_that_is_terminated_ends_as_cancelled(world: World, runs: Runs) -> None:
    """As where a node is drained in the same seconds: it reports once, and is not started again."""
    run = runs.create()
    with writing(world, runs, run, **{BEHAVIOR: "reschedule"}) as process:
        runs.client.set_flow_run_state(run.id, Cancelling())
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, runs.state(run)) == (0, "Cancelled"), output
    assert "Interrupted: write" in until("the log", lambda: runs.log(run))


def test_a_terminated_run_that_the_worker_calls_crashed_is_scheduled_again(world: World, runs: Runs) -> None:
    """An eviction fails the Job at once, and Prefect's worker may be quicker than the report."""
    run = runs.create()
    with writing(world, runs, run, **{BEHAVIOR: "reschedule"}) as process:
        process.send_signal(signal.SIGTERM)
        runs.client.set_flow_run_state(run.id, Crashed(), force=True)
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, runs.state(run)) == (0, "AwaitingRetry"), output


@pytest.mark.parametrize(("behavior", "status", "state"), [("relinquish", 1, "Running"), ("", 0, "Crashed")])
def test_other_ways_to_end(world: World, runs: Runs, behavior: str, status: int, state: str) -> None:
    """Where Kubernetes starts failed pods again, the pod fails; where nothing is set, the run is Crashed."""
    run = runs.create()
    with writing(world, runs, run, **{BEHAVIOR: behavior}) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, runs.state(run)) == (status, state), output


def test_a_termination_during_the_imports(world: World, runs: Runs) -> None:
    """The run is scheduled again, and no cluster gets a request."""
    before = requests(world)
    run = runs.create()
    process = runs.start(run, **{BEHAVIOR: "reschedule"})
    until("the handler", lambda: catches_sigterm(process.pid))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert (process.returncode, runs.state(run)) == (0, "AwaitingRetry"), output
    assert (runs.now(run).run_count, requests(world)) == (0, before)


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & SIGTERM_BIT)
