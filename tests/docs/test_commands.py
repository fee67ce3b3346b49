"""What README and documentation show is executed as it is printed: commands, scripts and suite files, page by page."""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from cmbench.cli.main import app
from cmbench.experiments.suite import load_suite
from tests.conftest import Command
from tests.training.engines.slurm_node import slurm_node, why_not

from .pages import PAGES, ROOT, blocks, commands, lines

NOT_RUN = {
    "cmbench train --suite cifar10 --jobs 4": "needs CIFAR-10",
    "cmbench train --suite cifar10 --jobs 4 --devices cuda:0,cuda:2": "needs CIFAR-10 and GPUs",
    "cmbench train --suite cifar10 --on slurm --slurm partition=gpu,time=4:00:00,gpus=1,array=16": (
        "needs CIFAR-10 and Slurm"
    ),
    "cmbench train --suite cifar10 --on ray:head:6379": "needs CIFAR-10 and a cluster",
    "cmbench sweep --suite cifar10 --trials 50 --storage postgresql://cmbench@database.example/sweeps": (
        "needs CIFAR-10 and a database"
    ),
    "cmbench plan --suite cifar10 --jobs 4 --watch": "needs CIFAR-10, and ends with its last run",
    "make demo": "installs from the network",
    "make test": "is what runs this",
    "make landscapes": "takes minutes; each suite of it has tests of its own",
    "make campaign": "takes an hour; a row of it has a test of its own",
    "make campaign CAMPAIGN=5": "takes minutes",
    "make report": "takes tens of minutes; its commands have tests of their own",
    "cmbench data prepare fashion_mnist": "downloads",
    "cmbench train --suite digits --grid": "120 runs",
    "cmbench doctor --suite digits --opt adam_sam_cm --steps 20 --set checkpoint.every_steps=5": (
        "three processes, as the line above it"
    ),
    "torchrun --nproc-per-node 8 -m cmbench train --suite imagenet --opt adam_cm": "needs ImageNet and eight GPUs",
    "cmbench train --suite imagenet --on slurm --slurm partition=gpu,time=4:00:00,gpus=1,cpus=8,array=16": (
        "needs ImageNet and Slurm"
    ),
    "cmbench train --suite imagenet --on ray:head:6379 --device cuda": "needs ImageNet and a cluster",
    "cmbench sweep --suite cifar10 --sampler grid": "needs CIFAR-10, and weeks",
    "cmbench sweep --suite imagenet --opt adam_cm --trials 50 --storage postgresql://cmbench@database.example/sweeps": (
        "needs ImageNet and a database"
    ),
    "python benchmarks/optimizer_step.py": "takes minutes",
    "python benchmarks/trainer_overhead.py": "takes minutes",
    "python benchmarks/landscapes.py": "takes minutes",
    "python benchmarks/scale.py": "takes minutes",
    "python benchmarks/sharpness.py": "takes minutes, and needs other libraries",
}
"""Commands that cannot run here, each with its reason; that they could be is checked: options, suites, scripts."""

_SHORT = "--set epochs=2 --set schedule.milestones=[1]"
_FOUR = "--set epochs=4 --set schedule=constant"
_FEW = "--starts 5 --steps 50"
_ROUGH = "--tolerance 0.3 --examples 100"
REDUCED = {
    "cmbench train --suite digits --jobs auto --quiet": f"{_SHORT} --seeds 2 --opt adam --opt adam_cm",
    "cmbench train --suite digits --seeds 5 --out results": f"{_SHORT} --seeds 2 --opt adam",
    "cmbench sweep --suite wine --trials 4 --save best.yaml --quiet": "--opt adam --seeds 1",
    "cmbench train --suite best.yaml --jobs 2 --quiet": "--seeds 2",
    "cmbench train --suite digits_peers": f"{_SHORT} --seeds 1",
    "cmbench toy --suite levy_peers": "--starts 2 --steps 20",
    "cmbench escape-ratio --suite escape_peers": "--starts 2 --steps 10",
    "cmbench train --suite digits": f"{_SHORT} --seeds 3",
    "cmbench train --suite digits --seeds 2 --quiet": f"{_SHORT} --seeds 1 --opt adam",
    "cmbench train --suite digits --seeds 10": f"{_SHORT} --seeds 1 --opt adam --opt adam_cm",
    "cmbench train --suite digits_equal_rate": f"{_SHORT} --seeds 1 --opt adam --opt adam_cm",
    "cmbench sharpness --suite flatness_digits": f"{_ROUGH} --maximiser ascent",
    "cmbench train --suite wine --quiet": "--seeds 1 --opt adam",
    "cmbench train --suite wine --plot wine.png --axis gradients": "--seeds 1 --opt adam --opt adam_cm",
    "cmbench train --suite table14 --workload wine --set epochs=4 --set schedule=constant "
    "--set telemetry.sharpness_every=4 --quiet": "--seeds 1",
    "cmbench train --suite wine --jobs 2 --quiet": "--seeds 1 --opt adam",
    "cmbench train --suite digits --opt adam_cm --seeds 5 --set capacity=20": f"{_SHORT} --seeds 1",
    "cmbench train --suite digits --opt adam --opt adam_cm --seeds 2 --quiet": f"{_SHORT} --seeds 1",
    "cmbench train --suite digits --opt adam --opt adam_cm --set lr=3e-3 --seeds 3": _SHORT,
    "cmbench train --suite digits --opt adam --opt adam_cm --out before --quiet": _FOUR,
    "cmbench train --suite digits --opt adam --opt adam_cm --set optimizers.adam_cm.lr=3e-4 --quiet": _FOUR,
    'cmbench train --suite digits --grid --opt adam --opt adam_cm --set "grid.lr=[1e-2,1e-3]" '
    '--set "grid.betas=[[0.9,0.99]]"': _SHORT,
    "cmbench train --suite digits --on slurm --slurm cpus=1,array=2": "--opt adam --seeds 2 --set epochs=1",
    "cmbench train --suite digits --on ray": "--opt adam_cm --seeds 2 --set epochs=1",
    "cmbench train --suite pydoc --jobs 2": "--seeds 1 --set max_steps=4 --opt adam --opt adam_cm",
    "cmbench train --suite digits --set precision=bf16 --set compile=true --set clip_norm=1 --set accumulate=2": (
        "--seeds 1 --set epochs=1 --set schedule=constant --opt adam_cm --set compile=false"
    ),
    "cmbench train --suite digits --set telemetry.buffer=true --set telemetry.sharpness_every=4 --track tensorboard": (
        "--seeds 1 --set epochs=1 --set schedule=constant --opt adam_cm --set telemetry.sharpness_every=1"
    ),
    "cmbench train --suite wine --track mlflow --track tensorboard:boards": "--seeds 1 --opt adam",
    "cmbench train --suite mine.yaml": "--set epochs=2",
    "cmbench sweep --suite digits --trials 6": f"{_SHORT} --opt adam --seeds 1",
    "cmbench sweep --suite digits --opt adam --opt adam_cm --trials 6 --save best.yaml --plot best.png": _SHORT,
    "cmbench escape-ratio --dim 10": _FEW,
    "cmbench escape-ratio --dim 10 --plot figure6.png": _FEW,
    "cmbench escape-ratio --dim 1 --capacity 5,10,20 --sharpness 10,50,100": _FEW,
    "cmbench escape-ratio --dim 10 --opt sgd_cm --opt rmsprop_cm --set lr=0.01": _FEW,
    "cmbench toy --suite gallery --plot gallery.png": _FEW,
    "cmbench toy --suite priorities": _FEW,
    "cmbench escape-ratio --suite priorities": _FEW,
    "cmbench train --suite priorities": "--seeds 1 --set max_steps=4",
    "cmbench convergence": "--set condition_numbers=[2]",
    'cmbench convergence --capacity 0,5,20 --set "condition_numbers=[10,1000]" --plot figure3.png': (
        "--set condition_numbers=[2] --set beta=[0.9]"
    ),
    "cmbench sharpness": _ROUGH,
    "cmbench sharpness --opt adam": _ROUGH,
    "cmbench sharpness results/digits/adam_cm/*.json": _ROUGH,
    "cmbench sharpness digits/adam --metric m-sharpness --metric trace --at best --examples 500": "--examples 100",
    "cmbench sharpness digits/adam_cm --metric spectrum --examples 500 --plot spectrum.png": (
        "--examples 100 --set vectors=1 --set steps=5"
    ),
    "cmbench doctor --suite digits": "--steps 8 --set checkpoint.every_steps=3",
}
"""Commands that would take minutes, each with what is put after it."""

EXITS = {
    "cmbench report --table 2": 4,
    "cmbench report --figure 20 --plot figures": 4,
    "cmbench report --suite priorities --claims": 4,
    "cmbench report --suite flatness_digits --claims": 4,
    "cmbench report --require 'figure4/*'": 1,
    "cmbench compare before": 1,
    "cmbench compare baseline.json --tolerance val_accuracy=0.5 --fail-on incomplete --summary summary.md "
    "--junit junit.xml": 1,
    "cmbench compare baseline.json --suite digits --json": 1,
}
"""Commands whose exit code is not 0, as their page says."""

LONG = {
    *(f"docs/{page}.md" for page in ("tutorial", "suites", "optimizers", "own", "extend", "cluster")),
    *(
        f"docs/commands/{name}.md"
        for name in ("train", "sweep", "new", "doctor", "toy", "escape-ratio", "convergence", "report", "compare")
    ),
    "docs/commands/sharpness.md",
}
"""Pages that take more than a few seconds."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.long] if page in LONG else []) for page in PAGES if blocks(page)]
)
def test_everything_on_the_page_runs_in_its_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    with _slurm(page, monkeypatch):
        for block in blocks(page):
            if block.title:
                Path(block.title).write_text(block.text)
            if block.language == "python":
                exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), {"__name__": "__main__"})
            elif block.language == "console":
                for line in lines(block):
                    _run(line, f"{page}:{line.number}", tmp_path)


@contextmanager
def _slurm(page, monkeypatch):
    """A Slurm of this machine for a page that trains on one, where there can be one."""
    if "--on slurm" not in PAGES[page] or why_not():
        yield
        return
    with slurm_node() as node:
        monkeypatch.setenv("SLURM_CONF", node.environment["SLURM_CONF"])
        yield


def _can_run(command):
    """Slurm's programs without its cluster are of no use."""
    no_cluster = shutil.which("sbatch") and why_not()
    return command not in NOT_RUN and not ("--on slurm" in command and no_cluster)


def _run(line, where, folder):
    """Runs a command and looks for every word that the page shows in what it prints."""
    if not _can_run(line.command):
        _check_without_running(line.command)
        return
    program, *arguments = _words(f"{line.command} {REDUCED.get(line.command, '')}", folder)
    assert program == "cmbench", f"{where}: {line.command}: not run, and not listed as such"
    try:
        done = Command(folder)(*arguments, code=EXITS.get(line.command, 0))
    except AssertionError as error:
        pytest.fail(f"{where}: {line.command}: {error}")
    # A verdict on a claim may be another one where numbers differ in their last digits.
    shown = re.split(r"^ paper, ", line.output, flags=re.MULTILINE)[0]
    missing = _words_of(shown) - _words_of(done.stdout + done.stderr)
    assert not missing, f"{where}: shown, but not printed: {sorted(missing)}\n{done.stdout}"


def _words(command, folder):
    """A command's words, with file names in place of patterns that match some, as a shell gives them."""
    found = []
    for word in shlex.split(command):
        matches = sorted(folder.glob(word)) if "*" in word else []
        found += [str(path.relative_to(folder)) for path in matches] or [word]
    return found


def _words_of(text):
    """The words of a text, without its numbers, which differ from machine to machine, and without what is cut off."""
    return set(re.findall(r"[^\W\d_]{3,}", re.sub(r"\S*…|…\S*", " ", text)))


def _check_without_running(command):
    """That a target, a script, or every option, suite and override of a command exists."""
    program, *words = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        _parse(words[words.index("cmbench") + 1 :] if program == "torchrun" else words)


def _parse(words):
    command = typer.main.get_command(app)
    with command.make_context("cmbench", [], resilient_parsing=True) as context:
        while hasattr(command, "get_command"):
            name, *words = words
            command = command.get_command(context, name)
            assert command, f"no such command: {name}"
        with command.make_context(name, words) as parsed:
            given = parsed.params
    suites, opts = ([value] if isinstance(value, str) else value or () for value in map(given.get, ("suite", "opt")))
    for suite in suites:
        load_suite(suite, opts=opts, sets=given.get("set_") or ())


def test_a_command_that_could_not_run_is_refused_without_running_it():
    for wrong in ("train --suite nonesuch", "train --suite digits --nonesuch", "nonesuch", "data nonesuch"):
        with pytest.raises(Exception, match="nonesuch"):
            _parse(wrong.split())


@pytest.mark.parametrize("command", [*NOT_RUN, *REDUCED, *EXITS])
def test_every_exception_is_on_a_page(command):
    assert any(line.command == command for page in PAGES for line in commands(page))
