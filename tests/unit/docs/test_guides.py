"""The guides and the French pages say what the code and the English pages say."""

import re
from pathlib import Path

import pytest

from flows import tls_sync
from tasks.config import limits, load, rules
from tasks.domain.failure_codes import FailureCode
from tasks.domain.reasons import QUIET, Reason
from tasks.kube import calls, throttle
from tasks.kubeconfig import authentication, exec_plugin, reader
from tasks.metrics import definitions
from tasks.report import events, markdown, terminal, verdict
from tasks.source import tls_secret

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
ENGLISH, FRENCH = GUIDES = ("operations.md", "fr/exploitation.md")
REFUSALS, REFUS = "refusals.md", "fr/refus.md"
PAGES = (*GUIDES, REFUSALS, REFUS)
HEADER = "| code | pourquoi | que faire |"
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
ENDINGS = (".py", ".yaml", ".toml", ".md", ".txt")
NOT_OURS = {"ClustersFailed", "SourceUnreadable", "NotInSync"} | {
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
PARTS = {
    ENGLISH: ("Symptom", "Command", "Meaning", "Remedy"),
    FRENCH: ("Symptôme", "Commande", "Explication", "Remède"),
}
IN_FRENCH = {"refus.md": "refusals.md", "exploitation.md": "operations.md"}


def read(page: str) -> str:
    return (DOCS / page).read_text()


def rows(page: str) -> list[list[str]]:
    """The cells of all tables of a page, without headers and rules."""
    lines = [line for line in read(page).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("code", "it says")]


def blocks(page: str) -> list[str]:
    """The code blocks of a page, each with its language."""
    return re.findall(r"^```.*?^```$", read(page), re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def spans(page: str) -> list[str]:
    """What stands in backticks in the prose of a page."""
    return re.findall(r"`([^`]+)`", prose(page))


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def headings(text: str) -> list[tuple[str, str]]:
    """Level and text of each heading."""
    return re.findall(r"^(#+) (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def codes(page: str) -> list[str]:
    return [span for span in spans(page) if re.fullmatch(r"[A-Z]+[a-z][A-Za-z]*", span)]


def test_every_refusal_is_explained_in_french() -> None:
    """docs/fr/refus.md has the codes that need a remedy, all of them and in the order of the code."""
    assert [code for code, _, _ in rows(REFUS)] == [
        str(code) for code in (*Reason, *FailureCode) if code.remedy
    ]


def test_the_french_refusals_stand_as_the_english_ones_do() -> None:
    """Both lists have the same codes in the same order, in as many sections and tables."""
    french, english = rows(REFUS), rows(REFUSALS)
    assert [row[0] for row in french] == [row[0] for row in english]
    assert [level for level, _ in headings(read(REFUS))] == [level for level, _ in headings(read(REFUSALS))]
    assert read(REFUS).count(HEADER) == read(REFUSALS).count("| it says | because | do |") == 2


def test_every_french_refusal_has_a_sentence_and_a_remedy() -> None:
    """No cell is empty, and none was left in English."""
    english = {row[0]: row for row in rows(REFUSALS)}
    for code, sentence, remedy in rows(REFUS):
        assert sentence
        assert remedy
        assert sentence != english[code][1]
        assert remedy != english[code][2]


@pytest.mark.parametrize(("french", "english"), [(FRENCH, ENGLISH), (REFUS, REFUSALS)])
def test_what_is_not_translated_is_the_same(french: str, english: str) -> None:
    """Commands, keys and field names in backticks are the same in both languages."""
    assert set(spans(french)) == set(spans(english))


def test_both_guides_have_the_same_sections() -> None:
    """The sequence of heading levels is the same in both languages."""
    levels = [[level for level, _ in headings(prose(guide))] for guide in GUIDES]
    assert len(levels[0]) > 10
    assert levels[0] == levels[1]


def test_both_guides_have_the_same_commands() -> None:
    """The code blocks are the same in both languages, but for comments."""
    plain = [[re.sub(r"#.*", "", block) for block in blocks(guide)] for guide in GUIDES]
    assert len(plain[0]) > 5
    assert plain[0] == plain[1]


def test_both_guides_have_the_same_links() -> None:
    """They lead to the same pages in the same order, and have an anchor in the same places."""
    targets = []
    for guide in GUIDES:
        split = [link.partition("#") for link in links(guide)]
        names = [(Path(path).name, bool(fragment)) for path, _, fragment in split]
        targets.append([(IN_FRENCH.get(name, name), anchored) for name, anchored in names])
    assert len(targets[0]) > 30
    assert targets[0] == targets[1]


def test_both_guides_say_the_same_codes_in_the_same_order() -> None:
    """A code that one guide names, the other names in the same place."""
    assert codes(ENGLISH) == codes(FRENCH)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """A relative link names a file that exists, and its anchor a heading of that file."""
    assert links(page)
    for link in links(page):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = ((DOCS / page).parent / path).resolve() if path else DOCS / page
        assert target.is_file(), link
        assert not fragment or fragment in {anchor(text) for _, text in headings(target.read_text())}, link


@pytest.mark.parametrize("page", GUIDES)
def test_every_file_that_a_guide_names_exists(page: str) -> None:
    """What looks like a file or folder of this repository, in prose or in a command, is one."""
    words = {word.lstrip("<>") for text in (*spans(page), *blocks(page)) for word in text.split()} - THEIRS
    paths = {word for word in words if word.startswith(FOLDERS) or word.endswith(ENDINGS)}
    assert len(paths) > 5
    assert {path for path in paths if "$" not in path and not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", GUIDES)
def test_every_code_that_a_guide_names_exists(page: str) -> None:
    """What looks like one of our codes is a Reason or a Code."""
    assert set(codes(page)) - {str(code) for code in (*Reason, *FailureCode)} == NOT_OURS


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_has_a_word_for_every_failure(page: str) -> None:
    """Whatever makes a run Failed is named in the guide, with where to look first."""
    failing = {str(code) for code in (*Reason, *FailureCode) if code.remedy and code not in QUIET}
    assert failing - set(codes(page)) == set()


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_is_easy_to_read_in_a_terminal(page: str) -> None:
    """No line but a table's is longer than 110 characters."""
    assert [line for line in read(page).splitlines() if len(line) > 110 and line[0] != "|"] == []


def troubles(page: str) -> list[tuple[str, str]]:
    """Heading and text of each entry of the section on troubleshooting."""
    title = {ENGLISH: "Troubleshooting", FRENCH: "Dépannage"}[page]
    section = read(page).split(f"## {title}\n")[1].split("\n## ")[0]
    found = re.findall(r"^### (.+)\n((?:(?!### ).*\n?)*)", section, re.MULTILINE)
    assert len(found) > 15
    return found


@pytest.mark.parametrize("page", GUIDES)
def test_every_trouble_has_its_four_parts(page: str) -> None:
    """Symptom, command, meaning and remedy, in this order, and the command can be copied."""
    for heading, text in troubles(page):
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [*PARTS[page]], heading
        command = text.split(f"**{PARTS[page][1]}.**")[1].split(f"**{PARTS[page][2]}.**")[0]
        assert "```sh" in command, heading


@pytest.mark.parametrize("page", GUIDES)
def test_every_trouble_is_found_from_the_top(page: str) -> None:
    """The table of symptoms leads to each entry."""
    table = "".join(line for line in read(page).split("\n## ")[1].splitlines() if line.startswith("|"))
    found = set(re.findall(r"\(#([^)]+)\)", table))
    assert {anchor(heading) for heading, _ in troubles(page)} <= found


LIMITS = [
    (load.MAX_BYTES, 2**20, "1 MiB"),
    (reader.MAX_BYTES, 2**20, "8 MiB"),
    (authentication.TOKEN_BYTES, 2**10, "64 KiB"),
    (rules.MAX_FAULTS, 1, "100"),
    (exec_plugin.MOST_BYTES, 2**20, "1 MiB"),
    (exec_plugin.SECONDS, 1, "30 second"),
    (tls_secret.MAX_BYTES, 2**10, "900 KiB"),
    (tls_secret.MAX_CERTIFICATE_BYTES, 2**10, "256 KiB"),
    (tls_secret.MAX_KEY_BYTES, 2**10, "64 KiB"),
    (rules.MAX_CLUSTERS, 1, "1000"),
    (limits.MAX_CERTIFICATES, 1, "10000"),
    (limits.MAX_COPIES, 1, "100000"),
    (throttle.REFUSALS, 1, "5"),
    (throttle.LONGEST_PAUSE, 1, "32 second"),
    (markdown.MAX_BYTES, 2**20, "1 MiB"),
    (terminal.MAX_LOG_BYTES, 2**10, "256 KiB"),
    (terminal.MAX_RECORD_BYTES, 1, "20000"),
    (calls.LIST_BYTES, 2**20, "256 MiB"),
    (calls.PAGE_BYTES, 2**20, "16 MiB"),
    (tls_sync.SIDE_BY_SIDE, 1, "16"),
    (limits.CLUSTER_SECONDS, 1, "300 second"),
    (markdown.MAX_ROWS, 1, "1000"),
    (verdict.MAX_NAMED, 1, "10"),
    (events.MOST, 1, "1000"),
    (definitions.MOST, 1, "500"),
    (definitions.MOST_COPIES, 1, "2000"),
]


@pytest.mark.parametrize(("page", "heading"), [(ENGLISH, "## Limits"), (FRENCH, "## Limites")])
def test_a_guide_states_the_limits_of_the_code(page: str, heading: str) -> None:
    """Row by row, the number that the code has; a changed limit is a changed guide."""
    rows = re.sub(r"(?<=\d)[,\u00a0](?=\d{3})", "", read(page).split(f"{heading}\n")[1].split("\n## ")[0])
    for value, unit, words in LIMITS:
        assert words.split()[0] == f"{value / unit:g}"
        told = rows.replace("secondes", "seconds").replace("seconds", "second")
        assert re.search(rf"(?<!\d){words}(?!\d)", told), words
