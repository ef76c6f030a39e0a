"""Links, names and numbers in the documents are right, and the French pages say what the English ones say."""

import re
from pathlib import Path

import pytest

from flows import tls_sync
from tasks.config import faults, limits, load, rules
from tasks.domain.failure_codes import FailureCode
from tasks.domain.reasons import QUIET, Reason
from tasks.kube import calls, throttle
from tasks.kubeconfig import authentication, exec_plugin, reader
from tasks.metrics import definitions
from tasks.preflight import diagnose, schedule
from tasks.report import events, kubernetes_events, markdown, terminal, verdict
from tasks.source import tls_secret
from tests.unit.docs.pages import DOCUMENTS, GUIDES, IN_FRENCH, ROOT, anchor, page

CODES = {str(code) for code in (*Reason, *FailureCode)} | {
    *(diagnose.NOT_PINNED, diagnose.POLICY_MISSING, schedule.TOO_SLOW, schedule.NONE),
    kubernetes_events.COPIED_IN_PART,
}
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
ENDINGS = (".py", ".yaml", ".toml", ".md", ".txt")
NOT_OURS = {"ClustersFailed", "SourceUnreadable", "NotInSync", "ClustersNotDiscovered", "AddressDiffers"} | {
    # a fleet's and its groups'
    *("GroupsFailed", "NotStarted", "NotBegun", "NotEnded"),
    # Prefect's
    *("Scheduled", "Late", "Pending", "InfrastructurePending", "AwaitingConcurrencySlot", "Active"),
    # Kubernetes'
    *("ImagePullBackOff", "ErrImagePull", "OOMKilled", "BackoffLimitExceeded", "ReadWriteOnce"),
}
"""Names of a run's final state, and of others' states, which stand beside the codes."""
THEIRS = {"values.yaml", "tls-sync.yaml"}
"""Files that the reader makes."""
PAIRS = list(IN_FRENCH.items())


def codes(name: str) -> list[str]:
    return [span for span in page(name).spans if re.fullmatch(r"(?!TLSSync)[A-Z]+[a-z][A-Za-z]*", span)]


def numbers(row: list[str]) -> list[str]:
    return re.findall(r"\d+", re.sub(r"(?<=\d)[,\u00a0](?=\d{3})", "", " ".join(row)))


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file that exists, and its anchor a heading of that file."""
    for link in page(ROOT / path).links:
        name, _, fragment = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / path.parent / name).resolve() if name else ROOT / path
        assert target.exists(), link
        assert not fragment or fragment in page(target).anchors, link


@pytest.mark.parametrize(("english", "french"), PAIRS)
def test_a_french_page_is_built_as_the_english_one(english: str, french: str) -> None:
    """Headings' levels, code blocks (not comments or diagrams), names, codes, links and tables' numbers."""
    one, other = page(english), page(french)
    assert [level for level, _ in one.headings] == [level for level, _ in other.headings]
    assert list(map(numbers, one.rows)) == list(map(numbers, other.rows))
    assert codes(english) == codes(french)
    assert set(one.spans) == set(other.spans)
    for (language, left), (_, right) in zip(one.blocks, other.blocks, strict=True):
        assert language == "mermaid" or re.sub(r"#.*", "", left) == re.sub(r"#.*", "", right)
    translated = {Path(name).name: Path(there).name for name, there in PAIRS}
    targets = [(Path(name).name, bool(mark)) for name, mark, _ in (link.partition("#") for link in one.links)]
    found = [(Path(name).name, bool(mark)) for name, mark, _ in (link.partition("#") for link in other.links)]
    assert found == [(translated.get(name, name), mark) for name, mark in targets]


def test_every_french_refusal_has_a_sentence_and_a_remedy() -> None:
    """The codes are those of the English page, in its order; no cell is empty, and none is in English."""
    for english, french in zip(page("refusals.md").rows, page("fr/refus.md").rows, strict=True):
        assert french[0] == english[0]
        assert all(french)
        assert not set(french[1:]) & set(english[1:])


@pytest.mark.parametrize("name", [*GUIDES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=str)
def test_every_file_that_a_guide_names_exists(name: str | Path) -> None:
    """What looks like a file or folder of this repository, in prose or in a command, is one."""
    words = {word.lstrip("<>") for text in page(name).commands for word in text.split()} - THEIRS
    paths = {word for word in words if word.startswith(FOLDERS) or word.endswith(ENDINGS)}
    assert {one for one in paths if "$" not in one and not (ROOT / one).exists()} == set()


def test_every_code_that_the_guides_name_exists() -> None:
    """What looks like one of our codes is a Reason or a FailureCode."""
    assert set().union(*map(codes, (*GUIDES, "migration.md", "scaling.md"))) - CODES == NOT_OURS


def test_the_runbook_has_a_word_for_every_failure() -> None:
    """Whatever makes a run Failed is named there, with where to look first."""
    failing = {str(code) for code in (*Reason, *FailureCode) if code.remedy and code not in QUIET}
    assert failing - set(codes("runbook.md")) == set()


@pytest.mark.parametrize("name", ["runbook.md", "fr/incidents.md"])
def test_every_symptom_is_found_from_the_top(name: str) -> None:
    """The runbook's first tables lead to each of its entries; those of alerts are reached from the alerts."""
    runbook = page(name)
    entries = {anchor(text) for level, text in runbook.headings if level == "h3" and "TLSSync" not in text}
    assert len(entries) > 15
    assert entries <= {link.removeprefix("#") for link in runbook.links}


@pytest.mark.parametrize("name", [*GUIDES, *(IN_FRENCH[one] for one in GUIDES)])
def test_a_guide_is_easy_to_read_in_a_terminal(name: str) -> None:
    """No line but a table's is longer than 110 characters."""
    assert [line for line in page(name).text.splitlines() if len(line) > 110 and line[0] != "|"] == []


LIMITS = [
    (load.MAX_BYTES, 2**20, "1 MiB"),
    (reader.MAX_BYTES, 2**20, "8 MiB"),
    (authentication.TOKEN_BYTES, 2**10, "64 KiB"),
    (faults.MAX_FAULTS, 1, "100"),
    (exec_plugin.MAX_OUTPUT_BYTES, 2**20, "1 MiB"),
    (exec_plugin.TIMEOUT_SECONDS, 1, "30 second"),
    (limits.MAX_DATA_BYTES, 2**10, "900 KiB"),
    (tls_secret.MAX_CERTIFICATE_BYTES, 2**10, "256 KiB"),
    (tls_secret.MAX_KEY_BYTES, 2**10, "64 KiB"),
    (rules.MAX_CLUSTERS, 1, "1000"),
    (limits.MAX_CERTIFICATES, 1, "10000"),
    (limits.BASE_BYTES, 2**20, "115 MiB"),
    (limits.CERTIFICATE_BYTES, 2**10, "3 KiB"),
    (limits.CLUSTER_BYTES, 2**10, "40 KiB"),
    (limits.COPY_BYTES, 1, "614"),
    (throttle.MAX_REFUSALS, 1, "5"),
    (throttle.MAX_RETRY_AFTER, 1, "32 second"),
    (markdown.MAX_BYTES, 2**20, "1 MiB"),
    (terminal.MAX_LOG_BYTES, 2**10, "256 KiB"),
    (terminal.MAX_RECORD_BYTES, 1, "20000"),
    (calls.LIST_BYTES, 2**20, "256 MiB"),
    (calls.PAGE_BYTES, 2**20, "16 MiB"),
    (tls_sync.MAX_CONCURRENCY, 1, "16"),
    (limits.CLUSTER_SECONDS, 1, "300 second"),
    (markdown.MAX_ROWS, 1, "1000"),
    (verdict.MAX_NAMED, 1, "10"),
    (events.MAX_EVENTS, 1, "1000"),
    (definitions.MAX_SERIES, 1, "500"),
    (definitions.MAX_COPIES, 1, "2000"),
]


@pytest.mark.parametrize(("name", "title"), [("reference.md", "Limits"), ("fr/reference.md", "Limites")])
def test_the_reference_states_the_limits_of_the_code(name: str, title: str) -> None:
    """The section has the number that the code has; a changed limit is a changed page."""
    section = page(name).text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    told = re.sub(r"(?<=\d)[,\u00a0](?=\d{3})", "", section).replace("seconde", "second")
    for value, unit, words in LIMITS:
        assert words.split()[0] == f"{value / unit:g}"
        assert re.search(rf"(?<!\d){words}(?!\d)", told), words
