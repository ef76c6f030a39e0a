"""Laws about the code itself: who may import what, and what the README and the example promise."""

import ast
import sys
from pathlib import Path

import pytest

from tests.support.scripts import printed

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "tasks").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])
WITH_INPUT_OUTPUT = {
    "config": {"schema"},
    "fleet": {"runs"},
    "inventory": {"collect", "tls_probe"},
    "preflight": {"cluster_ids", "probe"},
    "metrics": {"pushgateway", "registry"},
    "source": {"read"},
}
"""By package, the modules that make its exceptions from being pure."""
PURE_PACKAGES = ("config", "domain", "fleet", "inventory", "metrics", "plan", "preflight", "report", "source")
PURE = [
    *sorted(
        f"tasks.{package}.{path.stem}"
        for package in PURE_PACKAGES
        for path in (ROOT / "tasks" / package).glob("*.py")
        if path.stem not in {"__init__", *WITH_INPUT_OUTPUT.get(package, ())}
    ),
    "tasks.kube.responses",
    "tasks.kube.permissions",
    "tasks.kubeconfig.context",
    "tasks.kubeconfig.expiry",
    "tasks.orchestration.recall",
    "tasks.orchestration.sharing",
    "tasks.orchestration.task_options",
    "tasks.runtime.silence",
]
SHELLS = (
    "collect_certificates",
    "sync_cluster",
    "prune_cluster",
    "fleet/runs",
    "orchestration/fan_out",
    "orchestration/publish",
    "orchestration/remote_futures",
    "orchestration/remote_tasks",
    "orchestration/run_history",
    "orchestration/task_runners",
)
KNOWS_PREFECT = {f"tasks/{shell}.py" for shell in SHELLS} | {
    f"flows/{shell}.py"
    for shell in (
        "tls_sync",
        "preflight",
        "inventory",
        "watch_record",
        "fleet",
        "commands/run",
    )
}
INPUT_OUTPUT = {"os", "socket", "subprocess", "logging", "urllib3", "requests", "http", "tempfile", "time"}


def imports(path: Path) -> set[str]:
    """Top-level packages, and modules of ours in full, that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found | {name.partition(".")[0] for name in found}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_one_module_imports_kubernetes(path: Path) -> None:
    """The Kubernetes client is imported where what we don't need of it is left out, and nowhere else."""
    assert name(path) == "tasks/kubeconfig/sdk.py" or "kubernetes" not in imports(path)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_shells_import_prefect(path: Path) -> None:
    """Prefect is a shell: what decides and writes does not know it."""
    assert name(path) in KNOWS_PREFECT or "prefect" not in imports(path)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_no_input_or_output(module: str) -> None:
    """A pure module imports nothing that reads, writes or waits, not even through a module of ours."""
    seen, waiting = set(), {module}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        found = imports(ROOT / f"{current.replace('.', '/')}.py")
        assert not found & (INPUT_OUTPUT | {"prefect", "kubernetes"}), current
        # config.py is pure but for one read, which it leaves to yaml_file.py.
        ours = {one for one in found if (ROOT / f"{one.replace('.', '/')}.py").is_file()}
        waiting |= ours - seen - {"tasks.config.schema"}


def test_what_we_do_not_use_of_the_client_is_not_loaded() -> None:
    """OAuth and WebSockets for parts that nobody calls would cost 6 MiB; who wants them later gets them."""
    script = (
        "import sys, flows.tls_sync; "
        "print([n for n in ('requests_oauthlib', 'websocket', 'kubernetes.config') if n in sys.modules]); "
        "import kubernetes.config, kubernetes.stream; print(bool(kubernetes.config.load_kube_config))"
    )
    assert printed(script).split() == ["[]", "True"]


def test_the_generated_models_of_the_client_are_never_imported() -> None:
    """The client's model classes would cost the run 90 MiB: nothing imports them, not even indirectly."""
    script = (
        "import sys, flows.tls_sync; print(sum('.models.' in m and 'kubernetes' in m for m in sys.modules))"
    )
    assert printed(script) == "0"


def test_a_run_does_not_carry_the_inventory_along() -> None:
    """What a run does not need is not in its memory, and it knows nobody who asks an ingress."""
    script = "import sys, flows.tls_sync; print(*(m for m in sys.modules if m.startswith('tasks.')))"
    assert not [
        m for m in printed(script).split() if m.startswith(("tasks.inventory.", "tasks.report.history"))
    ]


def test_flow_files_are_not_named_after_packages() -> None:
    """Prefect loads flows/x.py as module x: a name that is also a package would shadow it."""
    names = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__", "__main__"}
    assert not names & (set(sys.stdlib_module_names) | {"tasks", "prefect", "kubernetes", "flows"})


def test_every_test_says_its_law() -> None:
    """Each test has a docstring of one sentence."""
    silent = [
        f"{name(path)}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if not (ast.get_docstring(node) or "").strip().endswith(".")
    ]
    assert silent == []
