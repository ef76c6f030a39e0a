"""The documents, as markdown-it-py parses them."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
GUIDES = ("runbook.md", "operations.md", "reference.md")
IN_FRENCH = {
    "runbook.md": "fr/incidents.md",
    "operations.md": "fr/exploitation.md",
    "reference.md": "fr/reference.md",
    "refusals.md": "fr/refus.md",
}
"""The pages that exist in both languages."""
FOLDERS = (ROOT, *(ROOT / name for name in ("docs", "docs/fr", "deployments/helm/tls-sync")))
DOCUMENTS = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in folder.glob("*.md"))


class Page:
    """One document: its text, and what stands in it."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        tokens = MarkdownIt("commonmark").enable("table").parse(self.text)
        inline = [child for token in tokens for child in token.children or []]
        pairs = list(pairwise(tokens))
        self.headings = [(start.tag, text.content) for start, text in pairs if start.type == "heading_open"]
        self.anchors = {anchor(text) for _, text in self.headings}
        self.blocks = [(token.info, token.content) for token in tokens if token.type == "fence"]
        """The language and the text of each code block."""
        self.spans = [child.content for child in inline if child.type == "code_inline"]
        """What stands in backticks outside of code blocks."""
        targets = [child.attrs.get("href") or child.attrs.get("src") for child in inline]
        self.links = [unquote(str(target)) for target in targets if target]
        """The targets of all links and images, in order."""
        self.rows: list[list[str]] = []
        """The cells of the bodies of all tables."""
        for start, text in pairs:
            if start.type == "tr_open" and text.type == "td_open":
                self.rows.append([])
            elif start.type == "td_open":
                self.rows[-1].append(text.content)

    @property
    def commands(self) -> list[str]:
        """All that stands in code, a line for each command; continued lines are joined."""
        shown = [text for language, text in self.blocks if language != "mermaid"]
        return re.sub(r"\\\n\s*", " ", "\n".join((*shown, *self.spans))).splitlines()


@cache
def page(name: str | Path) -> Page:
    """The page of docs/ of that name, or any other by its path."""
    return Page(DOCS / name)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
