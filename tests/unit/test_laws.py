"""Laws about the code, beside the contracts of import-linter: what a run imports, how tests are written."""

import ast
import sys
from pathlib import Path

from tests.support.scripts import printed

ROOT = Path(__file__).parents[2]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_what_we_do_not_use_of_the_client_is_not_loaded() -> None:
    """OAuth and WebSockets for parts that nobody calls would cost 6 MiB; who wants them later gets them."""
    script = (
        "import sys, flows.tls_sync; "
        "print([n for n in ('requests_oauthlib', 'websocket', 'kubernetes.config') if n in sys.modules]); "
        "import kubernetes.config, kubernetes.stream; print(bool(kubernetes.config.load_kube_config))"
    )
    assert printed(script).split() == ["[]", "True"]


def test_the_generated_models_of_the_client_are_never_imported() -> None:
    """CoreV1Api and its model classes would cost a run 20 MiB: nothing imports them, not even indirectly."""
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
