"""The guided tour: runs the real flow step by step, shows its reports, and checks them on the clusters."""

import os
from collections.abc import Iterable
from pathlib import Path

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo import flow_run, narration, story
from deployments.sandbox.demo.flow_run import RunResult
from deployments.sandbox.demo.prefect_server import ROOT, PrefectServer, prefect_server
from deployments.sandbox.demo.story import STEPS, Step
from deployments.sandbox.demo.workspace import workspace
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Waiting, say
from deployments.sandbox.world import oracle, scenario
from deployments.sandbox.world.oracle import Evidence, Place
from tasks.config.load import load_config
from tasks.inventory import page
from tasks.inventory.collect import collect_inventory


def run() -> int:
    """Return exit status 0 if every run ended as expected and every check passed."""
    clock = Waiting("", say)
    say("starting a Prefect server and four clusters; this takes up to a minute")
    with (
        workspace() as directory,
        prefect_server(directory, **flow_run.SETTINGS) as server,
        Sandbox(directory=directory / "clusters") as sandbox,
    ):
        _prepare(sandbox, directory, server)
        failed = [step for number, step in enumerate(STEPS, 1) if not _play(number, step, sandbox, server)]
        address = _inventory()
    narration.heading("The end")
    narration.paragraph(f"Which certificate is where, as a page: {address}")
    if failed:
        narration.failure(f"FAILED: {len(failed)} of {len(STEPS)} steps, see `differs` above")
        return 1
    narration.success(f"All {len(STEPS)} runs ended as expected, and every check passed ({clock.seconds} s).")
    narration.paragraph("To play with the same clusters and with Prefect's UI: make sandbox")
    return 0


def _prepare(sandbox: Sandbox, directory: Path, server: PrefectServer) -> None:
    narration.progress("creating certificates on OPS, and giving tls-sync its rights on each cluster")
    world = scenario.build(sandbox, directory)
    story.prepare(sandbox)
    os.environ |= {"TLS_SYNC_CONFIG": str(world.config), "KUBECONFIG": str(world.kubeconfig)}
    server.wait(say)


def _inventory() -> str:
    """Write the inventory's page into the checkout, and return its address."""
    file = ROOT / "certificates.html"
    file.write_text(page.render(collect_inventory(load_config())), encoding="utf-8")
    return file.as_uri()


def _play(number: int, step: Step, sandbox: Sandbox, server: PrefectServer) -> bool:
    narration.heading(f"{number} of {len(STEPS)}: {step.title}")
    narration.paragraph(step.explanation)
    step.prepare(sandbox)
    before = oracle.look(sandbox)
    try:
        result = flow_run.run(step.progress, dict(step.parameters))
    except Exception as error:
        log = server.log
        raise SandboxError(
            f"the flow could not be run: {error!r}\nThe Prefect server's log is {log}."
        ) from error
    evidence = Evidence(before, oracle.look(sandbox))
    narration.report(result.report)
    differences = [*_state(step, result), *evidence.objections(step.written, step.left_alone, step.waiting)]
    differences += oracle.differences(evidence.after.secrets, step.copies)
    differences += numbers(result, evidence, step.written)
    for difference in differences:
        narration.failure(f"differs: {difference}")
    if not differences:
        narration.success(f"state:   {result.state}, as expected")
        narration.success(f"checked: {_summary(step, evidence)}")
    return not differences


def _state(step: Step, result: RunResult) -> list[str]:
    if result.state == step.state:
        return []
    return [f"the run is {result.state}; expected is {step.state}: {result.message}"]


def numbers(result: RunResult, evidence: Evidence, written: Iterable[Place]) -> list[str]:
    """Return where the report's table differs from the clusters."""
    said = result.written()
    clusters = {*said, *(place.cluster for place in written)}
    return [
        f"{name}: the report says (created, updated) {said.get(name)}, the cluster {evidence.counts(name)}"
        for name in sorted(clusters)
        if said.get(name) != evidence.counts(name)
    ]


def _summary(step: Step, evidence: Evidence) -> str:
    same = len({*evidence.seen} - step.waiting)
    parts = [f"{same} copies equal OPS's byte for byte", _changes(evidence)]
    if step.left_alone:
        parts.append(f"no request was sent to {_list(step.left_alone)}")
    if step.waiting:
        parts.append(f"{_list(map(str, step.waiting))} waits")
    if down := set(story.TARGETS) - evidence.after.clusters:
        parts.append(f"{_list(down)} is down and can't be checked")
    return "; ".join(parts)


def _changes(evidence: Evidence) -> str:
    created, updated = sorted(evidence.created), sorted(evidence.updated)
    if not created and not updated:
        return "no Secret was written on any cluster"
    words = [f"{len(created)} Secrets created"] if created else []
    words += [f"written: {_list(map(str, updated))}"] if updated else []
    return f"{', '.join(words)}, and no other Secret was written"


def _list(words: Iterable[str]) -> str:
    *first, last = sorted(words)
    return f"{', '.join(first)} and {last}" if first else last
