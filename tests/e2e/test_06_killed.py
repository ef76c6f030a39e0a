"""A pod that ends during a run: by an eviction, and by a crash."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Evidence, Place
from deployments.sandbox.world.renewal import renew
from tests.e2e.machine import NAMESPACE, Machine
from tests.e2e.prefect_api import RUN_SECONDS, PrefectAPI
from tests.e2e.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

_HOMARR = {name: Place(name, f"homarr-{name}", f"homarr-{name}-tls") for name in ("dev", "rct", "prd")}


@contextmanager
def _in_mid_run(machine: Machine, prefect: PrefectAPI) -> Iterator[str]:
    """A run that has completed DEV and PRD, while RCT does not answer; at the end RCT answers again."""
    for place in _HOMARR.values():
        renew(machine.ops, place.name)
    rct = machine.sandbox.cluster("rct")
    os.kill(rct.pid, signal.SIGSTOP)
    try:
        run_id = prefect.start()
        deadline = time.monotonic() + RUN_SECONDS
        while _completed(prefect, run_id) != {"dev", "prd"}:
            assert time.monotonic() < deadline, (prefect.run(run_id), prefect.tasks(run_id))
            time.sleep(0.5)
        yield run_id
    finally:
        os.kill(rct.pid, signal.SIGCONT)


def _completed(prefect: PrefectAPI, run_id: str) -> set[str]:
    tasks = prefect.tasks(run_id)
    return {
        name for name in _HOMARR for task, state in tasks.items() if name in task and state == "Completed"
    }


def test_a_run_that_is_evicted_goes_on_where_it_was(
    machine: Machine, prefect: PrefectAPI, witness: Witness
) -> None:
    """The run resumes in a second pod: clusters that had finished get no further request.

    The run itself asks for another attempt. Prefect's worker may have marked it Crashed by then, as its Job
    has failed.
    """
    with _in_mid_run(machine, prefect) as run_id:
        between = oracle.look(machine.sandbox, ("dev", "prd"))
        (pod,) = witness.pods[run_id]
        machine.ops.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod.name}")
        prefect.await_run(run_id, lambda run: run.state not in {"Running", "Crashed"})
    run = prefect.await_run(run_id, lambda run: run.state == "Completed")
    assert run.run_count == 2
    assert "Interrupted" in prefect.log(run_id)  # the report of the first attempt
    assert len(witness.pods[run_id]) == 2
    after = oracle.look(machine.sandbox)
    asked = {name for name in ("dev", "prd") if after.requests[name] != between.requests[name]}
    assert asked == set(), prefect.tasks(run_id)
    assert Evidence(after, after).objections(()) == []


def test_a_run_that_is_cancelled_reports_what_is_left(machine: Machine, prefect: PrefectAPI) -> None:
    """It is Cancelled, was never Crashed, and the next one completes the work."""
    with _in_mid_run(machine, prefect) as run_id:
        status, said = prefect.command("flow-run", "cancel", run_id)
        assert status == 0, said
        run = prefect.finish(run_id)
    assert run.state == "Cancelled", (run, prefect.log(run_id))
    assert "CRASHED" not in prefect.state_types(run_id)
    assert "Interrupted" in prefect.log(run_id)
    before = oracle.look(machine.sandbox)
    assert prefect.carry_out().state == "Completed"
    assert Evidence(before, oracle.look(machine.sandbox)).objections({_HOMARR["rct"]}) == []


def test_a_run_that_is_killed_is_marked_and_the_next_one_converges(
    machine: Machine, prefect: PrefectAPI, witness: Witness
) -> None:
    """After a crash, such as an OOM kill, the run is Crashed or Failed; the next one completes the work."""
    with _in_mid_run(machine, prefect) as run_id:
        (pod,) = witness.pods[run_id]
        for pid in witness.processes_of(pod):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run = prefect.finish(run_id)
    assert run.state_type in {"CRASHED", "FAILED"}, run
    before = oracle.look(machine.sandbox)
    run = prefect.carry_out()
    assert run.state == "Completed", run
    assert Evidence(before, oracle.look(machine.sandbox)).objections({_HOMARR["rct"]}) == []
