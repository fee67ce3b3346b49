"""The command answers at once, because it loads nothing that it does not need."""

import subprocess
import sys
import time

import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from tests.report.results import DATA, save, train_results

HEAVY = ("torch", "torchvision", "pandas", "scipy", "matplotlib", "plotly", "sklearn", "datasets", "optuna")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["suites"], ["suites", "digits"], ["train", "--help"], ["sweep", "--help"]]
)
def test_help_and_suites_load_nothing_heavy(arguments, tmp_path):
    _run_without(HEAVY, arguments, tmp_path)


def test_a_report_of_finished_runs_loads_neither_torch_nor_a_plotting_library(tmp_path):
    suite = load_suite("digits", kind="train")
    specs = plan_training(suite, DATA)
    accuracies = {optimizer.label: [97.0, 96.5, 98.0, 97.5, 96.0] for optimizer in suite.optimizers}
    save(tmp_path / "results", specs, train_results(specs, accuracies))
    _run_without([name for name in HEAVY if name != "scipy"], ["report"], tmp_path)


def _run_without(libraries, arguments, folder):
    code = (
        "import sys\n"
        "from cmbench.cli.main import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"loaded = [name for name in {libraries!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "libraries", "times"),
    [(["--help"], "typer, rich.table", 1.8), (["suites"], "typer, rich.console, pydantic.fields, yaml", 3.0)],
)
def test_help_and_suites_take_little_more_than_their_libraries(arguments, libraries, times, tmp_path):
    def seconds(*line):
        began = time.perf_counter()
        subprocess.run([sys.executable, *line], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    # In turns, and the fastest of each: the machine may be busy, the command may not be slow.
    pairs = [(seconds("-m", "cmbench", *arguments), seconds("-c", f"import {libraries}")) for _ in range(5)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    assert ours < times * theirs


def test_every_subcommand_explains_itself(cmbench):
    listed = cmbench("--help").stdout
    for command in ("toy", "train", "escape-ratio", "sharpness", "report", "suites"):
        assert command in listed
        assert "--help" in cmbench(command, "--help").stdout


def test_version(cmbench):
    import cmbench as package

    assert cmbench("--version").stdout == f"cmbench {package.__version__}\n"
