"""Optimizers, workloads and surfaces of a user's own through the real command, in a folder that holds nothing else."""

import json
import re

import pytest

from cmbench.training.proof import prove_resume

OPTIMIZER = '''
import torch


class Mine(torch.optim.Optimizer):
    """Steps along the sign of a momentum."""

    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                p.sub_(m.sign(), alpha=group["lr"])
        return loss
'''

BROKEN = """
import sys

import torch


class Adam(torch.optim.Adam):
    steps = 0

    def step(self, closure=None):
        loss = super().step(closure)
        self.steps += 1
        self.after()
        return loss

    def after(self):
        pass


class Raises(Adam):
    def after(self):
        if self.steps == 3:
            raise ArithmeticError("in the third step")


class Nothing(Adam):
    def after(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.fill_(float("nan"))


class Shapes(Adam):
    def after(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data.flatten()


class Exits(Adam):
    def after(self):
        sys.exit(0)


class Prints(Adam):
    def after(self):
        print("a step")


class Deaf(Adam):
    def step(self, closure=None):
        return None
"""

WORKLOAD = """
from torch import nn

from cmbench.workloads.digits import Digits


class Mine(Digits):
    def model(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
"""

SHORT = ("--set", "epochs=1", "--set", "schedule=constant")


@pytest.fixture
def own(cmbench):
    (cmbench.folder / "mine.py").write_text(OPTIMIZER)
    (cmbench.folder / "broken.py").write_text(BROKEN)
    (cmbench.folder / "load.py").write_text(WORKLOAD)
    return cmbench


def options(*names):
    return [part for name in names for part in ("--opt", name)]


def test_optimizers_of_any_origin_train_side_by_side(own):
    names = ("adam", "torch.optim:NAdam", "./mine.py:Mine", "torch.optim:RAdam+sam+cg", "torch.optim:LBFGS")
    done = own("train", "--suite", "digits", *options(*names), "--set", "max_iter=2", "--seeds", "3", *SHORT)
    for title in ("Adam", "NAdam", "Mine", "RAdam+SAM+CG", "LBFGS"):
        assert f"\n {title} " in done.stdout
    by_name = {r["optimizer"]["name"]: r for r in own.results()}
    assert by_name["torch.optim:NAdam"]["optimizer"]["hyperparameters"]["momentum_decay"] == 4e-3
    assert by_name["torch.optim:NAdam"]["environment"]["optimizer"].startswith("torch ")
    assert len(by_name["./mine.py:Mine"]["optimizer"]["source"]) == 64
    assert by_name["torch.optim:RAdam"]["optimizer"]["hyperparameters"]["capacity"] == 5
    gradients = {name: r["cost"]["gradient_evaluations"] / r["cost"]["steps"] for name, r in by_name.items()}
    assert gradients["adam"] == gradients["./mine.py:Mine"] == 1
    assert gradients["torch.optim:RAdam"] == 2
    assert 1 < gradients["torch.optim:LBFGS"] <= 4
    again = own("train", "--suite", "digits", *options(*names), "--set", "max_iter=2", "--seeds", "3", *SHORT)
    assert "15 runs were finished before" in again.stderr
    assert again.stdout == done.stdout
    document = json.loads(own("report", "--format", "json").stdout)
    (table,) = document["tables"] if isinstance(document, dict) else document
    (vs,) = [i for i, column in enumerate(table["columns"]) if column["key"].endswith("_vs_adam")]
    intervals = [row["cells"][table["columns"][vs]["key"]]["interval"] for row in table["rows"][1:]]
    assert len(intervals) == 4
    assert all(low < high for low, high in intervals)


def test_a_changed_file_is_another_optimizer(own):
    line = ("train", "--suite", "digits", *options("./mine.py:Mine"), "--seeds", "1", *SHORT)
    own(*line)
    own("train", "--suite", "digits", *options(f"{own.folder}/mine.py:Mine"), "--seeds", "1", *SHORT)
    assert len({r["id"] for r in own.results()}) == 1
    (own.folder / "mine.py").write_text(OPTIMIZER.replace("sign()", "tanh()"))
    done = own(*line)
    assert len({r["id"] for r in own.results()}) == 2
    first, second = dict.fromkeys(r["optimizer"]["source"][:8] for r in own.results())
    report = own("report", code=0).stdout
    assert f"Mine (code {first})" in report
    assert f"Mine (code {second})" in report
    assert "missing" not in report
    assert len(re.findall("^ Mine  ", done.stdout, re.MULTILINE)) == 2  # in each of two tables the one that was run


def test_a_broken_optimizer_fails_its_run_and_leaves_the_others_alone(own):
    names = ["adam", *(f"./broken.py:{name}" for name in ("Raises", "Nothing", "Shapes", "Exits", "Prints", "Deaf"))]
    line = ("train", "--suite", "digits", *options(*names, "sgd"), "--seeds", "1", *SHORT)
    done = own(*line, "--json", code=3)
    ended = {r["optimizer"]["name"].rpartition(":")[2]: (r["status"], r["error"]) for r in json.loads(done.stdout)}
    assert ended == {
        "adam": ("completed", None),
        "sgd": ("completed", None),
        "Prints": ("completed", None),
        "Raises": ("failed", "ArithmeticError: in the third step"),
        "Nothing": ("diverged", "training loss nan at step 2"),
        "Shapes": ("failed", "Shapes.step has changed the shape or type of its parameters"),
        "Exits": ("failed", "Exits.step ends the process: 0"),
        "Deaf": ("failed", "Deaf.step(closure) has not called its closure"),
    }
    assert done.stderr.count("a step\n") == 23
    alone = own("train", "--suite", "digits", *options("adam"), "--seeds", "1", *SHORT, "--out", "alone", "--json")
    (of_adam,) = json.loads(alone.stdout)
    (beside,) = [r for r in json.loads(done.stdout) if r["optimizer"]["name"] == "adam"]
    assert of_adam["curves"] == beside["curves"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (options("torch.optim:NAdamm"), "optimizers.torch.optim:NAdamm: 'torch.optim:NAdamm': 'torch.optim' has no"),
        (options("torch.optim:Adam+sam+meg"), "'torch.optim:Adam+sam+meg': accepted: one probe, not sam and meg"),
        (options("torch.optim:Adam+smm"), "unknown part 'smm': did you mean 'sam'? accepted: sam, meg, cg, cm"),
        (options("torch.nn:Linear"), "'torch.nn:Linear': it is the class Linear: accepted: a class derived from"),
        (
            [*options("torch.optim:NAdam"), "--set", "momentom=1"],
            "--set momentom=1: no chosen optimizer has 'momentom'",
        ),
        ([*options("torch.optim:NAdam"), "--set", "lr=-1"], "torch.optim:NAdam: ValueError: Invalid learning rate: -1"),
        (
            [*options("adam"), "--workload", "./mine.py:Mine"],
            "'./mine.py:Mine' is the class Mine: accepted: a Workload",
        ),
        ([*options("adam"), "--workload", "./load.py:Nine"], "'./load.py' has no 'Nine': did you mean 'Mine'?"),
        ([*options("adam"), "--workload", "diggits"], "unknown workload 'diggits': did you mean 'digits'?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(own, arguments, message):
    done = own("train", "--suite", "digits", *arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not own.files("results/**/*.json")


def test_a_workload_of_ones_own_in_worker_processes(own):
    line = (
        "train",
        "--suite",
        "digits",
        "--workload",
        "./load.py:Mine",
        *options("adam", "./mine.py:Mine"),
        "--seeds",
        "2",
        *SHORT,
    )
    own.process(*line, "--jobs", "2", "--threads", "1")
    two = {r["id"]: r["metrics"] for r in own.results()}
    own(*line, "--out", "other", "--threads", "1")
    assert len(two) == 4
    assert all(r["settings"]["data"].count(".") == 2 for r in own.results())


def test_a_suite_beside_its_files(own):
    (own.folder / "suites").mkdir()
    for name in ("mine.py", "load.py"):
        (own.folder / name).rename(own.folder / "suites" / name)
    (own.folder / "suites" / "all.yaml").write_text(
        "kind: train\ndescription: all of it\nworkload: ./load.py:Mine\nepochs: 1\nbatch_size: 64\noptimizers:\n"
        "  adam: {lr: 1e-2}\n  mine: {name: ./mine.py:Mine, lr: 1e-2, grid: {lr: [1e-2, 1e-3], momentum: [0.5, 0.9]}}\n"
    )
    done = own("train", "--suite", "suites/all.yaml")
    assert "\n Mine " in done.stdout
    grid = own("train", "--suite", "suites/all.yaml", "--grid", "--opt", "mine", "--seeds", "1")
    assert "all_grid: 4 settings × 1 seed = 4 runs" in grid.stderr
    assert (
        "mine: {name: 'suites/mine.py:Mine', lr:" in grid.stdout
        or "mine: {name: suites/mine.py:Mine, lr:" in grid.stdout
    )


def test_what_is_separable_runs_as_lanes_and_what_is_not_one_by_one(own):
    names = ("torch.optim:NAdam", "torch.optim:Muon", "./mine.py:Mine", "torch.optim:NAdam+sam+cg")
    done = own("toy", "--suite", "levy", *options(*names), "--starts", "3", "--steps", "40")
    by_name = {r["optimizer"]["name"]: r for r in own.results()}
    starts = {name: r["environment"].get("starts") for name, r in by_name.items()}
    assert starts == {"torch.optim:NAdam": None, "torch.optim:Muon": "one by one", "./mine.py:Mine": None}
    assert "Muon (" in done.stdout
    assert "a start depends on those beside it" in done.stdout
    escape = own(
        "escape-ratio", "--dim", "10", *options("torch.optim:NAdam", "torch.optim:Muon"), "--starts", "2",
        "--steps", "20", "--sharpness", "5,100",
    )  # fmt: skip
    assert "NAdam" in escape.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["--opt", "pytorch_optimizer:SOAP"],
        ["--opt", "torch.optim:Muon", "--set", "rest={name: adam, lr: 1e-3}"],
        ["--opt", "pytorch_optimizer:ScheduleFreeAdamW"],
        ["--opt", "torch.optim:NAdam+sam+cm"],
        ["--opt", "./mine.py:Mine"],
        ["--opt", "adam", "--workload", "./load.py:Mine"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_killed_run_ends_bit_for_bit_like_one_that_was_not(own, arguments, monkeypatch):
    pytest.importorskip("pytorch_optimizer")
    monkeypatch.chdir(own.folder)
    proof = prove_resume(["--suite", "digits", "--seeds", "1", *arguments], 60)
    assert proof.killed_after >= 30
    assert proof.differences == ()


def test_optimizers_lists_what_somebody_elses_can_be_told(own):
    done = own("optimizers", "./mine.py:Mine")
    assert "Mine: Steps along the sign of a momentum" in done.stdout
    assert "momentum" in done.stdout
    (document,) = json.loads(own("optimizers", "torch.optim:NAdam", "--json").stdout)
    assert {"name": "momentum_decay", "default": 0.004} in document["hyperparameters"]
