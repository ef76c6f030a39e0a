"""What docs/performance.md says in sentences with numbers, from what was measured. Pure."""

import textwrap
from statistics import median
from typing import Any

Measured = dict[str, Any]
PROGRAMS = (
    *("python", "prefect", "kubernetes", "pydantic", "cryptography"),
    *("kube_apiserver", "etcd", "kubectl"),
)

_MACHINE = """
Measured between {begun} and {ended} on {cores} cores, {system}. The load average at the start of a part, with
what the part before it left, was {load:g} at most. {programs}.
"""
_LOSSES = """
- **A few certificates.** The kubectl loop takes {each:.2f} s per copy, and a run of ours {unchanged:.1f} s
  even where there is nothing to do: up to about {even:.0f} copies the loop is faster.
- **The start.** {begun:.1f} s pass until the first request; `import prefect` by itself takes
  {imported:.1f} s. A program in Go has no such start.
- **CPU.** The clusters' part of an unchanged run takes {unchanged_times:.0f} times the CPU of the floor, that
  of a first sync {first_times:.0f} times: we read, check and compare, in Python, what the floor only sends.
- **Memory.** {pod:g} MiB in a pod, nearly all of it Python and Prefect, if only for the seconds of a run. A
  shell and kubectl, or a program in Go, bring neither along. Prefect's server, and the watcher where it is
  on, come on top.
- **Many copies.** {large:g} MiB in a pod for {copies:,} copies, where a pod has 256 MiB unless the chart is
  told otherwise: what a run holds grows with the copies that it looks at.
- **One copy, at once.** An operator that watches, such as config-syncer, sends a copy as soon as its source
  changes. A run by schedule comes up to an hour later. Our watcher took {watched:g} s from a renewal to the
  last of three clusters (median of {renewals}): it looks, checks and plans first. No operator was measured
  here.
"""
_LARGE = """
{copies:,} copies. After the renewal of one certificate, a run made {more:g} requests more than an unchanged
one: {each:g} per cluster that has it.
"""


def machine(measured: Measured) -> str:
    details = measured["details"]
    facts, parts = details["machine"], [one for one in details.values() if "measured" in one]
    times = sorted(one["measured"] for one in parts)
    return filled(
        _MACHINE,
        begun=times[0],
        ended=times[-1],
        load=max(one["load"][0] for one in parts),
        programs=", ".join(f"{name.replace('_', '-')} {facts[name]}" for name in PROGRAMS),
        cores=facts["cores"],
        system=facts["system"],
    )


def losses(measured: Measured) -> str:
    """Where something else is faster or smaller."""
    details = measured["details"]
    run, begun = details["run_vs_kubectl_loop"], details["start_beyond_import_s"]
    unchanged, each = median(run["unchanged_run_seconds"]), run["other_seconds"] / run["copies"]
    return filled(
        _LOSSES,
        each=each,
        unchanged=unchanged,
        even=unchanged / each,
        begun=median(begun["ours_seconds"]),
        imported=median(begun["other_seconds"]),
        unchanged_times=_cpu_times(measured, "unchanged_vs_floor"),
        first_times=_cpu_times(measured, "first_sync_vs_floor"),
        pod=measured["peak_pod_mib"],
        large=measured["peak_pod_large_mib"],
        copies=details["peak_pod_large_mib"]["copies"],
        watched=measured["watch_p50_s"],
        renewals=details["watch_p50_s"]["renewals"],
    )


def renewal(measured: Measured) -> str:
    details = measured["details"]
    return filled(
        _LARGE,
        copies=details["peak_pod_large_mib"]["copies"],
        more=measured["renewal_requests_large"],
        each=details["renewal_requests_large"]["per_cluster"],
    )


def one_more(found: dict[str, Any], names: dict[str, str]) -> str:
    """What one more costs. A start that every run pays is not in it."""
    parts = []
    for key, name in names.items():
        steps = " and ".join(f"{1000 * one:.1f}" for one in found["one_more_seconds"][key])
        parts.append(f"{name} {steps} ms")
    return _wrapped(f"One more cost, within the smaller and within the larger step: {'; '.join(parts)}.")


def _cpu_times(measured: Measured, key: str) -> float:
    spent = measured["details"][key]["cpu_seconds"]
    return float(spent["ours"] / spent["floor"])


def filled(template: str, **facts: Any) -> str:
    """Wrapped anew, as numbers may be longer or shorter."""
    paragraphs = template.strip().format(**facts).split("\n- ")
    bullets = [
        one if one.startswith("- ") or not number else f"- {one}" for number, one in enumerate(paragraphs)
    ]
    return "\n".join(map(_wrapped, bullets))


def _wrapped(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    words = " ".join(text.split())
    return textwrap.fill(words, 110, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
