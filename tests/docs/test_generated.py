"""What the documentation says in tables is what the program says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from cmbench import report
from cmbench.cli.main import app
from cmbench.experiments.settings import SUITE_TYPES, TrainSuite
from cmbench.experiments.suite import builtin_suites, read_suite
from cmbench.optim import create_optimizer
from cmbench.optim.memories import MEMORIES
from cmbench.optim.registry import PROBES
from cmbench.report.paper.claims import CLAIMS
from cmbench.workloads.registry import WORKLOADS, get_workload

from .pages import PAGES, ROOT


def test_columns_are_those_of_the_explanation():
    introduction, _, _ = PAGES["docs/columns.md"].partition("### ")
    wanted = introduction + report.explain("markdown")
    assert PAGES["docs/columns.md"] == wanted, "write it anew: cmbench report --explain --format markdown"


@pytest.mark.long
def test_what_comes_out_of_the_paper_is_what_the_verdicts_say(cmbench):
    for kind in ("toy", "escape-ratio", "convergence"):
        wanted = {claim.suite for claim in CLAIMS if read_suite(claim.suite)[2]["kind"] == kind}
        for suite in sorted(wanted):
            cmbench(kind, "--suite", suite, "--quiet")
    verdicts = cmbench("report", "--claims", "--json").stdout
    script = [sys.executable, str(ROOT / "docs" / "claims.py"), "--check"]
    done = subprocess.run(script, input=verdicts, text=True, check=False)
    assert done.returncode == 0, "write it anew: make claims"


def test_every_command_has_a_page():
    commands = {info.name for info in app.registered_commands} | {"data"}
    assert {f"docs/commands/{name}.md" for name in commands} <= PAGES.keys()


def test_every_option_of_a_command_is_on_its_page_or_on_that_of_all(cmbench):
    shared = PAGES["docs/commands/index.md"]
    for info in app.registered_commands:
        options = set(re.findall(r"(--[a-z][\w-]+)", cmbench(info.name, "--help").stdout)) - {"--help", "--version"}
        missing = {option for option in options if option not in PAGES[f"docs/commands/{info.name}.md"] + shared}
        assert not missing, info.name


def test_every_memory_and_probe_has_its_mathematics():
    page = PAGES["docs/optimizers.md"]
    assert [key for key in (*MEMORIES, *PROBES) if f"`{key}`" not in page] == []


ROWS = re.findall(r"^\| `(\w+)` \| ([^|]*C) \| ([^|]*C) \|$", PAGES["docs/optimizers.md"], re.MULTILINE)
"""Rules that the page has a row for; a rule's formula is also in the API's pages, by itself."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_memory_per_parameter_is_what_an_optimizer_keeps(row):
    rule, *of_memories = row
    for memory, said in zip(MEMORIES, of_memories, strict=True):
        weights = torch.nn.Parameter(torch.ones(1000))
        optimizer = create_optimizer(f"{rule}_{memory}", [weights], capacity=3)
        weights.grad = torch.ones(1000)
        optimizer.step()
        kept = [value for value in optimizer.state[weights].values() if getattr(value, "shape", None) == weights.shape]
        constant, factor = map(int, re.fullmatch(r"(\d+) \+ (\d+)·C", said).groups())
        assert sum(value.nbytes for value in kept) == 1000 * (constant + factor * 3)


def test_every_key_of_a_suite_is_explained():
    page = PAGES["docs/suites.md"]
    keys = {name for suite in SUITE_TYPES.values() for name in suite.model_fields}
    keys |= {name for field in ("checkpoint", "telemetry") for name in type(TrainSuite.model_fields[field].default)
             .model_fields}  # fmt: skip
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", page)] == []


def test_every_option_of_a_workload_is_explained_with_its_values():
    page = PAGES["docs/suites.md"]
    for name in WORKLOADS:
        for option, choice in get_workload(name).options.items():
            values = ", ".join(f"`{value}`" if isinstance(value, str) else str(value) for value in choice.values)
            values += f", {choice.also.text}" if choice.also else ""
            assert f"`{option}`: {values} |" in page, name


def test_every_suite_of_the_paper_is_listed():
    page = PAGES["docs/paper.md"].replace("`figure11` … `figure16`", " ".join(f"`figure{n}`" for n in range(11, 17)))
    ours = {"wine", "digits", "digits_online", "pydoc", "gpt", "fashion_mnist", "levy", "surface", "sharpness"}
    ours |= {"gallery", "digits_peers", "levy_peers", "escape_peers"}
    ours |= {f"priorities_{name}" for name in ("levy", "escape", "digits", "pydoc")}
    tasks = ("digits", "pydoc", "fashion_mnist")
    ours |= {name for task in tasks for name in (f"flatness_{task}", f"{task}_equal_rate")}
    assert [name for name in builtin_suites() if f"`{name}`" not in page and name not in ours] == []
    assert ours <= builtin_suites().keys()


def test_the_workloads_that_need_no_download_are_named():
    embedded = [name for name in WORKLOADS if "comes with" in get_workload(name).card.source]
    assert embedded
    assert [name for name in embedded if f"`{name}`" not in PAGES["docs/commands/data.md"]] == []
