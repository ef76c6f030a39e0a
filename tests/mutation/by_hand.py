"""Mutants of the code around the decisions, as a careless change could make them; each must fail a test.

`python -m tests.mutation.by_hand` tries them on a copy, with real API servers.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DELIVERY, FAULTS, FLOW, IDENTITY, TABLE = (
    f"tests/apiserver/test_{name}.py" for name in ("delivery", "faults", "flow", "identity", "decision_table")
)

PRUNE, PRUNED = "tests/unit/plan/test_prune.py", "tests/apiserver/test_prune.py"
PRUNER = "tests/unit/target/test_prune.py"


class Mutant(NamedTuple):
    name: str
    module: str
    original: str
    instead: str
    tests: str
    """Arguments of pytest; one of these tests must fail."""


MUTANTS = (
    Mutant(
        "no uid",
        "target/apply",
        "existing=(change.uid, ",
        'existing=("", ',
        f"{DELIVERY} -k update",
    ),
    Mutant(
        "no resourceVersion",
        "target/apply",
        "str(change.resource_version))",
        '"")',
        f"{DELIVERY} -k swap",
    ),
    Mutant(
        "creates take over",
        "kube/secret_manifest",
        'NO_RESOURCE_VERSION = "1"',
        'NO_RESOURCE_VERSION = "0"',
        f"{DELIVERY} -k create_never",
    ),
    Mutant("force always", "kube/client", "str(uid is not None).lower()", '"true"', f"{FAULTS} -k forced"),
    Mutant("downgrades", "plan/decide", "old.not_before > source", "old.not_before < source", TABLE),
    Mutant(
        "sent again in secret",
        "kube/transport",
        """response, body = self._exchange(request, content)
""",
        """try:
                    response, body = self._exchange(request, content)
                except TransportError:
                    response, body = self._exchange(request, content)
""",
        f"{FAULTS} -k in_secret",
    ),
    Mutant(
        "connections in any state",
        "kube/connections",
        "if not self._response.isclosed() or self.status < HTTPStatus.OK:",
        "if False:",
        "tests/unit/kube/test_connections.py",
    ),
    Mutant(
        "no check of names",
        "domain/names",
        "return SUBDOMAIN.fullmatch(text) is not None",
        "return True",
        "tests/unit/domain/test_names.py",
    ),
    Mutant(
        "staged keys",
        "kube/client",
        'labels.append("!cert-manager.io/next-private-key")',
        "pass",
        "tests/apiserver/test_inventory.py",
    ),
    Mutant(
        "anonymous",
        "kube/client",
        'user["username"] in ("", ANONYMOUS)',
        'user["username"] == ""',
        f"{IDENTITY} -k nobody",
    ),
    Mutant(
        "OPS as target",
        "target/identity",
        "if found == spec.snapshot.cluster_id",
        "if not found",
        f"{IDENTITY} -k ops_is",
    ),
    Mutant(
        "one cluster twice",
        "target/identity",
        "for one in alike if one != cluster.name]",
        "for one in alike if False]",
        f"{IDENTITY} -k two_entries",
    ),
    Mutant(
        "no review of permissions",
        "kube/permissions",
        "required - self.verbs",
        "set()",
        f"{IDENTITY} -k missing",
    ),
    Mutant("no deadline", "kube/deadline", "_cut(one)\n", "pass\n", "tests/unit/kube/test_drips.py"),
    Mutant("endless lists", "kube/calls", "left - size", "left", f"{FAULTS} -k without_end"),
    Mutant("any uid", "kube/client", "not UID.fullmatch(uid)", "False", f"{FAULTS} -k wrong_answer"),
    Mutant(
        "lost answers are failures",
        "target/apply",
        "code not in OUTCOME_UNKNOWN | {FailureCode.CONFLICT}",
        "True",
        f"{FAULTS} -k lost",
    ),
    Mutant(
        "lost answers are successes",
        "target/apply",
        "row.reason is Reason.IN_SYNC",
        "row",
        f"{FAULTS} -k never_arrived",
    ),
    Mutant(
        "never given up", "target/write", "self._failures >= MAX_FAILURES", "False", f"{FAULTS} -k in_peace"
    ),
    Mutant("altered data", "kube/client", 'found.get("data") != sent', "False", f"{DELIVERY} -k mutating"),
    Mutant(
        "errors told",
        "target/write",
        "except Exception as error:",
        "except ZeroDivisionError as error:",
        f"{DELIVERY} -k unforeseen",
    ),
    Mutant(
        "old list",
        "target/sync",
        "doubtful := downgrades(plan) - rechecked",
        "doubtful := frozenset()",
        f"{DELIVERY} -k old_list",
    ),
    Mutant(
        "annotations stay", "plan/decide", "current.has_last_applied]", "False]", f"{IDENTITY} -k asks_for_it"
    ),
    Mutant(
        "writes after the end",
        "runtime/shutdown",
        "        self.requested.set()",
        "        pass",
        "tests/apiserver/test_interruption.py",
    ),
    Mutant(
        "attempts forgotten",
        "sync_cluster",
        "with_earlier_writes(report, memory.written.pop(report.cluster, ()))",
        "report",
        f"{FLOW} -k earlier",
    ),
    Mutant(
        "passes what is behind",
        "rollout",
        "if reason := not_served_reason(self.reports):",
        "if (reason := not_served_reason(self.reports)) and False:",
        "tests/unit/served/test_rollout.py",
    ),
    Mutant(
        "results of other routes",
        "plan/spec",
        "self.cluster.model_dump_json(serialize_as_any=True),",
        '"",',
        f"{FLOW} -k routes_changed",
    ),
    Mutant(
        "requests beyond the limits",
        "plan/requests",
        "if namespace in target.limits[index].allowed)",
        "if target.limits[index].allowed)",
        "tests/apiserver/test_self_service.py -k beyond_the_limits",
    ),
    Mutant(
        "any module in results",
        "orchestration/task_options",
        "object_decoder=None",
        "object_decoder='x'",
        "tests/apiserver/test_flow.py -k resumed",
    ),
    Mutant("two runs prune", "plan/orphans", "record.runs >= MIN_RUNS", "absence.runs >= 2", PRUNE),
    Mutant("no day of grace", "plan/orphans", "now - record.since >= MIN_ORPHAN_AGE", "True", PRUNE),
    Mutant("old notes count", "plan/orphans", "now - seen <= MAX_RECORD_AGE", "True", PRUNE),
    Mutant(
        "runs at once count",
        "plan/orphans",
        "MIN_RUN_INTERVAL if record.runs",
        "MAX_CLOCK_SKEW * 0 if record.runs",
        PRUNE,
    ),
    Mutant("any clock will do", "plan/orphans", "abs(server_time - ours) <= MAX_CLOCK_SKEW", "True", PRUNE),
    Mutant(
        "our clock counts",
        "target/prune",
        "clock_of(target.server_time, ",
        "clock_of(datetime.now(UTC), ",
        PRUNER,
    ),
    Mutant(
        "an older OPS is believed", "plan/prune", "if row.reason is Reason.WOULD_DOWNGRADE", "if False", PRUNE
    ),
    Mutant("trouble is no matter", "plan/prune", "report.changes if row.failed]", "()]", PRUNE),
    Mutant("any share goes", "plan/prune", "int(existing * MAX_SHARE)", "existing", PRUNE),
    Mutant("eleven at once", "plan/prune", "most = min(MAX_DELETIONS_PER_CLUSTER, ", "most = max(0, ", PRUNE),
    Mutant(
        "an empty OPS is believed",
        "plan/prune",
        "gone and not (snapshot.certificates or snapshot.listed)",
        "False",
        PRUNED,
    ),
    Mutant("sixty in all", "plan/prune", "if total > MAX_DELETIONS_PER_RUN:", "if False:", PRUNE),
    Mutant("kept copies go", "plan/prune", "and not row.absence.kept]", "]", PRUNE),
    Mutant("edited copies go", "plan/ownership", "if is_untouched(secret) else", "if True else", PRUNE),
    Mutant("lists are believed", "target/prune", "source.target_secret(ref) is not None", "False", PRUNED),
    Mutant("Certificates don't matter", "target/prune", "row.certificate in wanted", "False", PRUNED),
    Mutant(
        "lost deletions fail",
        "target/prune",
        "elif error.failure.code not in OUTCOME_UNKNOWN",
        "elif True",
        PRUNED,
    ),
    Mutant("any object is deleted", "kube/client", '"preconditions": preconditions', '"x": {}', PRUNED),
    Mutant("PRD at once", "prune_cluster", "one if may_delete else", "one if True else", PRUNED),
    Mutant("any OPS", "kube/identity", "source.cluster_id not in (None, found)", "False", PRUNED),
    Mutant(
        "readable results",
        "orchestration/process",
        "os.umask(0o077)",
        "pass",
        "tests/apiserver/test_runs.py -k alone",
    ),
)


def noticed(mutant: Mutant, copy: Path) -> bool:
    path = copy / "tasks" / f"{mutant.module}.py"
    text = path.read_text()
    if mutant.original not in text:
        raise SystemExit(f"{mutant.name}: {path.name} no longer has {mutant.original!r}")
    path.write_text(text.replace(mutant.original, mutant.instead, 1))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *mutant.tests.split()], cwd=copy, capture_output=True, check=False)
    path.write_text(text)
    return done.returncode == 1


def main() -> int:
    """Exit status 1 where a mutant survived. Arguments are names of mutants; without any, all are tried."""
    chosen = [mutant for mutant in MUTANTS if mutant.name in sys.argv[1:] or len(sys.argv) == 1]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*_cache", ".venv", ".git", ".hypothesis"))
        left = []
        for mutant in chosen:
            seen = noticed(mutant, copy)
            print(f"{'noticed ' if seen else 'SURVIVED'} {mutant.name}", flush=True)  # noqa: T201
            left += [] if seen else [mutant]
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
