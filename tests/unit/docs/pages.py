"""The documents, as markdown-it-py parses them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
IN_FRENCH = {
    "runbook.md": "fr/incidents.md",
    "operations.md": "fr/exploitation.md",
    "reference.md": "fr/reference.md",
    "refusals.md": "fr/refus.md",
}
"""Each page that exists in both languages."""
GUIDES = ("runbook.md", "operations.md", "reference.md")
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "deployments").rglob("*.md"))
)


class Page:
    """One document."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, path.read_text()
        self.tokens = MarkdownIt("commonmark").enable("table").parse(self.text)

    def _inline(self, kind: str) -> list[Token]:
        return [child for token in self.tokens for child in token.children or [] if child.type == kind]

    @property
    def headings(self) -> list[tuple[str, str]]:
        """The level (h1, h2 …) and the text of each heading."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [(token.tag, inline.content) for token, inline in pairs if token.type == "heading_open"]

    @property
    def anchors(self) -> set[str]:
        """What GitHub makes of the headings for links."""
        return {anchor(text) for _, text in self.headings}

    @property
    def links(self) -> list[str]:
        """The targets of all links and images, in order."""
        found = [
            child.attrs.get("href") or child.attrs.get("src")
            for token in self.tokens
            for child in token.children or []
            if child.type in {"link_open", "image"}
        ]
        return [unquote(str(target)) for target in found]

    @property
    def spans(self) -> list[str]:
        """What stands in backticks outside of code blocks."""
        return [child.content for child in self._inline("code_inline")]

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """The language and the text of each code block."""
        return [(token.info, token.content) for token in self.tokens if token.type == "fence"]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the bodies of all tables."""
        return list(self._rows())

    def _rows(self) -> Iterator[list[str]]:
        row: list[str] = []
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type == "td_open":
                row.append(token.content)
            elif token.type == "tr_close" and row:
                yield row
                row = []

    @property
    def commands(self) -> list[str]:
        """All that stands in code, a line for each command; continued lines are joined."""
        shown = [text for language, text in self.blocks if language != "mermaid"]
        return re.sub(r"\\\n\s*", " ", "\n".join((*shown, *self.spans))).splitlines()

    def section(self, title: str) -> str:
        """The text from one heading of level two to the next."""
        return self.text.split(f"\n## {title}\n")[1].split("\n## ")[0]


@cache
def page(name: str | Path) -> Page:
    """The page of docs/ of that name, or any other by its path."""
    return Page(DOCS / name)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
