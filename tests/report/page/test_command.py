"""The command on the page gives the same runs again: the same ids."""

import shlex

import pytest

from cmbench.experiments.result import Result
from cmbench.report.page.command import command_of
from cmbench.report.results import load_results
from cmbench.report.runs.by_optimizer import runs_by_optimizer
from cmbench.report.tables.build import grouped_tables
from tests.conftest import Command

SHORT = ("--set", "epochs=1", "--set", "schedule=constant", "--quiet")
RUNS = {
    "settings of training": ("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", 2, *SHORT),
    "some seeds": ("train", "--suite", "wine", "--opt", "adam", "--seed", 3, "--seed", 7, *SHORT[:2], "--quiet"),
    "hyperparameters": ("train", "--suite", "wine", "--opt", "adam_sam", "--seeds", 1, "--set", "lr=0.02",
                        "--set", "betas=[0.8,0.99]", "--set", "rho=0.1", "--set", "epochs=1", "--quiet"),
    "an optimizer that the suite lacks": ("train", "--suite", "wine", "--opt", "sgd_cm", "--seeds", 1,
                                          "--set", "lr=0.05", "--set", "epochs=1", "--quiet"),
    "a grid": ("train", "--suite", "wine", "--grid", "--opt", "adam", "--seeds", 1, "--set", "epochs=1",
               "--set", "grid.lr=[0.02,0.01]", "--quiet"),
    "a precision": ("train", "--suite", "wine", "--opt", "adam", "--seeds", 1, "--set", "epochs=1",
                    "--set", "precision=bf16", "--set", "clip_norm=1", "--quiet"),
    "a surface": ("toy", "--surface", "goldstein_price", "--opt", "adam_cm", "--starts", 2, "--steps", 5, "--quiet"),
    "one of several surfaces": ("toy", "--suite", "table1", "--starts", 2, "--steps", 5, "--opt", "adam", "--quiet"),
    "a seed of starts": ("toy", "--starts", 2, "--steps", 5, "--seed", 4, "--opt", "adam", "--quiet"),
    "coefficients": ("escape-ratio", "--dim", 1, "--sharpness", "5,10", "--starts", 2, "--steps", 5,
                     "--opt", "adam", "--quiet"),
    "capacities": ("escape-ratio", "--dim", 1, "--capacity", "5,10", "--sharpness", 10, "--starts", 2, "--steps", 5,
                   "--opt", "adam_cm", "--quiet"),
    "rates": ("convergence", "--capacity", "0,5", "--set", "condition_numbers=[2]", "--set", "beta=[0.9]", "--quiet"),
}  # fmt: skip


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in RUNS.items()])
def test_gives_the_same_runs(cmbench, words):
    cmbench(*words)
    rows = [
        (command_of(each.group, row.optimizer if row else None, row.runs if row else each.group.runs),
         row.runs if row else each.group.runs)
        for each in grouped_tables(load_results(cmbench.folder / "results"))
        for row in (runs_by_optimizer(each.group) or [None])
    ]  # fmt: skip
    assert rows
    found = 0
    for i, (command, runs) in enumerate(rows):
        again = Command(cmbench.folder / str(i))
        again.folder.mkdir()
        again(*shlex.split(command)[1:])
        ids = {run.result.id for run in runs if run.result}
        assert {Result.model_validate(each).id for each in again.results()} == ids, command
        found += len(ids)
    assert found == len(cmbench.results())


@pytest.mark.parametrize(
    "how",
    [
        ("--metric", "m-sharpness", "--m", 40, "--at", "best"),
        ("--metric", "trace", "--set", "products=9", "--at", "epoch=1"),
        ("--tolerance", "0.1"),
        ("--metric", "barrier", "--to", "wine/adam_cm", "--set", "points=5"),
    ],
    ids=["m-sharpness", "trace", "top eigenvalue", "barrier"],
)
def test_gives_the_same_measurement(how, cmbench):
    cmbench("train", "--suite", "wine", "--opt", "adam", "--opt", "adam_cm", "--seed", 0, *SHORT)
    cmbench("sharpness", "wine/adam", *how, "--examples", 80, "--quiet")
    (measured,) = [each for each in load_results(cmbench.folder / "results") if each.kind == "sharpness"]
    ((each,),) = [grouped_tables([measured])]
    (row,) = runs_by_optimizer(each.group)
    (file,) = cmbench.files(f"results/**/{measured.id}.json")
    file.unlink()
    cmbench(*shlex.split(command_of(each.group, row.optimizer, row.runs))[1:])
    assert file.exists()
