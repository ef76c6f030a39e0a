"""The memory of a run: of the flow's process, and of all processes of a pod together."""

from deployments.sandbox.progress import Say
from tests.benchmarks.flow_process import OFTEN, OFTEN_IN_POD, FlowProcess
from tests.benchmarks.memory import Peak, in_mib
from tests.benchmarks.results import Result

FLOW_MIB, POD_MIB = 128, 116
HOW = "Rss of smaps over all processes, pages of a file that several map counted once; sampled"


def peaks(flow: FlowProcess, say: Say) -> list[Result]:
    """Both from empty targets: the most work, and with the private keys."""
    say("memory: a run alone, then as in a pod")
    flow.world.empty()
    single = flow.run(OFTEN).peak.mib
    flow.world.empty()
    pod = flow.run_in_pod(OFTEN_IN_POD).peak
    say(f"memory: flow {single} MiB; pod {pod.together_mib} MiB, its processes {each(pod)}")
    engine = each(pod)[-1]
    highest, copies = max(single, engine), len(flow.world.copies)
    return [
        _peak(
            "peak_flow_mib",
            f"memory, {copies} copies: the flow's process, also by hand",
            highest,
            f"under {FLOW_MIB} MiB",
            highest < FLOW_MIB,
        ).with_details({"how": "VmHWM", "python_m_flows": single, "engine_in_pod": engine}),
        together("peak_pod_mib", f"memory, {copies} copies: a pod's processes together", pod, POD_MIB),
    ]


def together(key: str, what: str, pod: Peak, limit: int) -> Result:
    mib = pod.together_mib
    details = {"how": HOW, "pss": in_mib(pod.pss_kib), "each_process": each(pod)}
    return _peak(key, what, mib, f"at most {limit} MiB", mib <= limit).with_details(details)


def each(pod: Peak) -> list[float]:
    """The peak of each process in MiB, the largest last."""
    return sorted(map(in_mib, pod.processes_kib.values()))


def _peak(key: str, what: str, mib: float, demand: str, met: bool) -> Result:
    return Result(key, what, mib, f"{mib} MiB", unit=" MiB", demand=demand, met=met)
