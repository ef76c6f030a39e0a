"""How many private keys an unchanged run reads, by proxies that end TLS in front of the API servers."""

from deployments.sandbox.progress import Say
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.results import Result
from tests.support.key_counter import counting_keys


def at_rest(flow: FlowProcess, say: Say) -> Result:
    """It is a count, so it must be exactly what is expected."""
    say("keys: those that an unchanged run reads")
    flow.run_in_pod()
    flow.settle(len(flow.world.certificates))
    with counting_keys(flow.world.kubeconfig) as counter:
        flow.run_in_pod()
    read = counter.keys_read
    return Result(
        key="keys_read_at_rest",
        what=f"unchanged run in a pod, {len(flow.world.copies)} copies: private keys read",
        value=read,
        ours=str(read),
        other="0",
        demand="exactly that",
        met=read == 0,
        details={"by_cluster": dict(counter.keys_by_cluster)},
    )
