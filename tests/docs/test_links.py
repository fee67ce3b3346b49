"""Every file that a page names is there, and every page is in the site's menu."""

from __future__ import annotations

import re

import pytest
import yaml

from .pages import PAGES, ROOT

_FOLDERS = "benchmarks|cmbench|docs|examples|suites|tests"
TO_BE_WRITTEN = {"cmbench/optim/rules/adaml2.py", "mine.yaml"}
"""What a reader is told to write."""


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_it_names_exist(page):
    named = re.findall(rf"`((?:{_FOLDERS})(?:/[\w./-]*)?)`", PAGES[page])
    named += re.findall(r"`(\w[\w.]*\.(?:md|cff|toml))`", PAGES[page])
    assert [name for name in named if name not in TO_BE_WRITTEN and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_menu():
    # The file names Python functions to mkdocs by tags that a plain loader does not know.
    menu = re.search(r"^nav:\n(.*?)(?=^\S|\Z)", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE | re.DOTALL)[1]
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(menu))))
    assert {f"docs/{name}" for name in listed} == {page for page in PAGES if page.startswith("docs/")}
