"""Writes what comes out of the paper, and of questions of our own, into the pages, from the verdicts on stored results.

    cmbench report --claims --json | python docs/claims.py [--check]

README.md gets a line for each place, by verdict; docs/paper.md a line for each claim that was run, with its numbers;
docs/priorities.md one for each question about the ranking, docs/flatness.md one for each measure on each task, where
they were run. All stand between the comments
`<!-- claims -->` and `<!-- end of claims -->`. With `--check` nothing is written, and
exit code 1 says that README.md would change.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"
VERDICTS = ("reproduced", "contradicted", "inconclusive")
ANSWERS = (*VERDICTS, "different", "alike")


def main() -> int:
    every = json.load(sys.stdin)["claims"]
    topics = {
        topic: [claim for claim in every if claim["id"].startswith(f"{topic}/") and claim["verdict"] in ANSWERS]
        for topic in TOPICS
    }
    claims = [c for c in every if c["verdict"] in VERDICTS and c["id"].partition("/")[0] not in TOPICS]
    readme, page = ROOT / "README.md", ROOT / "docs" / "paper.md"
    if "--check" in sys.argv:
        return replaced(readme, by_place(claims)) != readme.read_text(encoding="utf-8")
    readme.write_text(replaced(readme, by_place(claims)), encoding="utf-8")
    page.write_text(replaced(page, one_by_one(claims)), encoding="utf-8")
    for topic, questions in topics.items():
        if questions:
            own = ROOT / "docs" / f"{topic}.md"
            own.write_text(replaced(own, TOPICS[topic](questions)), encoding="utf-8")
    return 0


def replaced(file: Path, text: str) -> str:
    """The file's text with `text` between the comments."""
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def by_place(claims: list[dict[str, Any]]) -> str:
    """A table with a row for each place and a column for each verdict."""
    cells: dict[str, dict[str, list[str]]] = {}
    for claim in claims:
        cells.setdefault(claim["place"], {}).setdefault(claim["verdict"], []).append(text(claim))
    rows = [
        f"| {place} | {' | '.join('; '.join(own.get(verdict, [])) for verdict in VERDICTS)} |"
        for place, own in cells.items()
    ]
    return "\n".join(["| | comes out | does not | open |", "|---|---|---|---|", *rows])


def one_by_one(claims: list[dict[str, Any]]) -> str:
    """A table with a row for each claim: the comparison that says least for it, and the verdict."""
    rows = []
    for claim in claims:
        numbers = weakest_comparison(claim)
        needed = f"; {claim['needed']:,} would settle it" if claim["needed"] else ""
        rows.append(f"| {claim['place']} | {text(claim)} | {numbers} | {claim['verdict']}{needed} |")
    return "\n".join(["| place | claim | the weakest comparison | verdict |", "|---|---|---|---|", *rows])


def answers(questions: list[dict[str, Any]]) -> str:
    """A table with a row for each question of our own: the difference, p after Holm's correction, and the answer."""
    rows = []
    for question in questions:
        p = "" if question["p_holm"] is None else f"{question['p_holm']:.2g}"
        p = "< 0.001" if question["p_holm"] is not None and question["p_holm"] < 0.001 else p
        needed = f"; {question['needed']:,} would settle it" if question["needed"] else ""
        numbers = weakest_comparison(question)
        rows.append(f"| {text(question)} | {numbers} | {p} | {question['verdict']}{needed} |")
    return "\n".join(["| question | difference | p (Holm) | answer |", "|---|---|---|---|", *rows])


def by_measure(claims: list[dict[str, Any]]) -> str:
    """A table with a row for each task, choice of learning rates and measure, and a column for each of the weights."""
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for claim in claims:
        task, rate, measure, at = re.fullmatch(
            r"flatness/(\w+)-(equal|best)-([\w-]+)-(last|best)", claim["id"]
        ).groups()
        words = {"equal": "one for all", "best": "each its best"}[rate]
        needed = f" ({claim['needed']:,} would settle it)" if claim["needed"] else ""
        cell = f"**{claim['verdict']}**{needed}: {weakest_comparison(claim)}"
        cells.setdefault((task, words, measure), {})[at] = cell
    rows = [f"| {' | '.join(key)} | {own.get('last', '')} | {own.get('best', '')} |" for key, own in cells.items()]
    header = "| task | learning rate | measure | at the last epoch | at the best epoch |"
    return "\n".join([header, "|---|---|---|---|---|", *rows])


def weakest_comparison(claim: dict[str, Any]) -> str:
    """`Adam+CM − Adam at s=20: +0.12 [+0.03, +0.21], 200 starts`: the comparison that says least for a claim."""
    numbers = f"{claim['n']} {claim['unit']}"
    if not claim["pairs"]:
        return numbers
    # Of those that point the other way, all of which have p = 1, the largest difference.
    weakest = max(claim["pairs"], key=lambda pair: (2.0 if pair["p"] is None else pair["p"], abs(pair["effect"])))
    at = f" at {weakest['measure']}" if weakest["measure"] else ""
    interval = "" if weakest["interval"] is None else " [{:+.3g}, {:+.3g}]".format(*weakest["interval"])
    effect = f"{weakest['better']} − {weakest['worse']}{at}: {weakest['effect']:+.3g}{interval}"
    return f"{effect.replace(': -', ': −').replace('[-', '[−').replace(', -', ', −')}, {numbers}"


def text(claim: dict[str, Any]) -> str:
    """The claim in words, with the surface where its place has several."""
    middle = claim["id"].split("/")[1:-1]
    where = {"levy": "on Levy, ", "goldstein_price": "on Goldstein-Price, "}.get(middle[0] if middle else "", "")
    return claim["text"] if claim["text"].startswith("on ") else f"{where}{claim['text']}"


TOPICS = {"priorities": answers, "flatness": by_measure}
"""Questions of our own, each topic with a page of its name; how it is shown there."""

if __name__ == "__main__":
    sys.exit(main())
