"""How much memory a run needs: the flow's process, and the two processes of a pod together."""

from deployments.sandbox.progress import Say
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.memory import Peak, in_mib
from tests.benchmarks.results import Result

FLOW_MIB, POD_MIB = 128, 190
HOW = "Rss of smaps over both processes, pages of a file that both map counted once; sampled"


def peaks(flow: FlowProcess, say: Say) -> list[Result]:
    """Both from empty targets: the most work, and with the private keys."""
    say("memory: a run alone, then as in a pod")
    flow.world.empty()
    single = flow.closely().mib
    flow.world.empty()
    pod = flow.in_a_pod().peak
    say(f"memory: flow {single} MiB; pod {pod.together_mib} MiB, its processes {each(pod)}")
    engine = each(pod)[-1]
    highest, copies = max(single, engine), len(flow.world.copies)
    return [
        Result(
            key="peak_flow_mib",
            what=f"memory, {copies} copies: the flow's process",
            value=highest,
            unit=" MiB",
            ours=f"{highest} MiB",
            demand=f"under {FLOW_MIB} MiB",
            met=highest < FLOW_MIB,
            details={"how": "VmHWM", "python_m_flows": single, "engine_in_pod": engine},
        ),
        together("peak_pod_mib", f"memory, {copies} copies: a pod's processes together", pod, POD_MIB),
    ]


def together(key: str, what: str, pod: Peak, limit: int) -> Result:
    mib = pod.together_mib
    return Result(
        key=key,
        what=what,
        value=mib,
        unit=" MiB",
        ours=f"{mib} MiB",
        demand=f"at most {limit} MiB",
        met=mib <= limit,
        details={"how": HOW, "pss": in_mib(pod.pss_kib), "each_process": each(pod)},
    )


def each(pod: Peak) -> list[float]:
    """The peak of each process, the largest last."""
    return sorted(map(in_mib, pod.processes_kib.values()))
