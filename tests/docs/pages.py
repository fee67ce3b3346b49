"""The pages that a reader sees, and what stands in their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
"""Every page by its path in the repository."""

_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name of the file that it is, if any, and the number of its first line."""

    language: str
    title: str | None
    text: str
    line: int


@dataclass(frozen=True)
class Line:
    """A command as it is printed, without `$` and comment, and what the page shows of its output."""

    command: str
    output: str
    number: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = PAGES[page]
    return [
        Block(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 2) for found in _FENCE.finditer(text)
    ]


def lines(block: Block) -> Iterator[Line]:
    """The commands of a `console` block."""
    command, output, number = None, [], 0
    for offset, text in enumerate(block.text.splitlines()):
        if text.startswith("$ "):
            if command is not None:
                yield Line(command, "\n".join(output), number)
            command, output, number = re.sub(r"\s+#.*", "", text[2:]), [], block.line + offset
        else:
            output.append(text)
    if command is not None:
        yield Line(command, "\n".join(output), number)


def commands(page: str) -> list[Line]:
    """Every command of a page."""
    return [line for block in blocks(page) if block.language == "console" for line in lines(block)]
