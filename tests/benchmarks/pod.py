"""How much memory a run needs: the flow's process, and the two processes of a pod together."""

from deployments.sandbox.progress import Say
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.memory import MIB
from tests.benchmarks.results import Result
from tests.benchmarks.world import COPIES

FLOW_MIB, POD_MIB = 128, 200
HOW = "Rss of smaps over both processes, pages of a file that both map counted once; sampled every 0.1 s"


def peaks(flow: FlowProcess, say: Say) -> list[Result]:
    """Both from empty targets: the most work, and with the private keys."""
    say("memory: a run alone, then as in a pod")
    flow.world.empty()
    alone = flow.peak()
    flow.world.empty()
    pod = flow.peak_in_a_pod()
    single = _mib(max(alone.processes_kib.values()))
    members = sorted(map(_mib, pod.processes_kib.values()))
    engine, together = members[-1], _mib(pod.together_kib)
    say(f"memory: flow {single} MiB; pod {together} MiB, its processes {members}")
    highest = max(single, engine)
    return [
        Result(
            key="peak_flow_mib",
            what=f"memory, {COPIES} copies: the flow's process",
            value=highest,
            unit=" MiB",
            ours=f"{highest} MiB",
            demand=f"under {FLOW_MIB} MiB",
            met=highest < FLOW_MIB,
            details={"how": "VmHWM", "python_m_flows": single, "engine_in_pod": engine},
        ),
        Result(
            key="peak_pod_mib",
            what=f"memory, {COPIES} copies: a pod's processes together",
            value=together,
            unit=" MiB",
            ours=f"{together} MiB",
            demand=f"under {POD_MIB} MiB",
            met=together < POD_MIB,
            details={"how": HOW, "pss": _mib(pod.pss_kib), "each_process": members},
        ),
    ]


def _mib(kib: int) -> float:
    return round(kib / MIB, 1)
