"""The first step of critical momenta as their authors' code makes it: in every implementation, saved and resumed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cmbench.experiments.plan import plan_landscapes
from cmbench.experiments.suite import load_suite
from cmbench.optim import AdamCM, create_optimizer, get_info, list_optimizers

from .reference import Problem, run
from .test_against_reference import follow, furthest, settings
from .test_state import through_a_file

MOMENTA = [name for name in list_optimizers() if get_info(name).memory and get_info(name).memory.key == "cm"]
BY_HAND = [name for name in MOMENTA if get_info(name).rule.key in ("adam", "sgd")]
IMPLEMENTATIONS = [{"foreach": False}, {"foreach": True}, pytest.param({"fused": True}, marks=pytest.mark.long)]


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("options", IMPLEMENTATIONS, ids=str)
def test_it_follows_the_recursion_for_200_steps(name, options, problem, closure_for):
    chosen = settings(name, lr=1e-2, betas=(0.9, 0.99), momentum=0.9, weight_decay=0.01, capacity=5, decay=0.7)
    if get_info(name).rule.key == "sgd":
        del chosen["weight_decay"]  # torch's L2 is part of the gradient, and with it of what is stored
    ours = follow(name, problem, closure_for, first_step="authors", **chosen, **options)
    assert furthest(ours, run(name, problem, 200, first_step="authors", **chosen)) < 1e-10
    assert furthest(ours, run(name, problem, 200, **chosen)) > 1e-3


@pytest.mark.parametrize("priority", ["gradient", "momentum", "fifo", "random"])
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_it_does_so_by_every_priority_and_scope(priority, scope, problem, closure_for):
    chosen = {"lr": 1e-2, "betas": (0.8, 0.9), "priority": priority, "capacity": 4, "decay": 0.9}
    ours = follow("adam_cm", problem, closure_for, scope=scope, first_step="authors", **chosen)
    reference = run("adam_cm", problem, 200, per_tensor=scope == "per_tensor", first_step="authors", **chosen)
    assert furthest(ours, reference) < 1e-10


def test_a_lane_begins_as_if_it_were_alone():
    start = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def ends(points):
        x = points.clone().requires_grad_()
        optimizer = create_optimizer("adam_cm", [x], lr=1e-2, scope="lane", first_step="authors")
        for step in range(60):
            x.grad = 4 * x.detach() ** 3 - 3 * x.detach() + torch.sin(20 * x.detach())
            optimizer.step()
            assert torch.equal(x.detach(), points) == (step == 0)
        return x.detach()

    together = ends(start)
    for lane in range(7):
        torch.testing.assert_close(together[lane], ends(start[lane : lane + 1])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", IMPLEMENTATIONS, ids=str)
def test_it_stores_the_gradient_and_nothing_else(options):
    params = [torch.ones(300, 200, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = AdamCM(params, lr=0.1, weight_decay=0.5, capacity=3, decay=0.5, first_step="authors", **options)
    for param in params:
        param.grad = torch.full_like(param, 2.0)
    optimizer.step()
    saved = optimizer.state_dict()["state"][1]
    norm = 2 * (300 * 200 + 3) ** 0.5
    assert saved["step"] == 1
    assert torch.equal(saved["slot_0"], torch.full((3,), 2.0))
    assert torch.equal(saved["buffer_sum"], torch.full((3,), 2.0))
    torch.testing.assert_close(saved["priorities"], torch.tensor([0.5 * norm, -torch.inf, -torch.inf]))
    assert not saved["exp_avg"].any()
    assert not saved["exp_avg_sq"].any()
    assert all(torch.equal(param.detach(), torch.full_like(param, 0.95)) for param in params)


@pytest.mark.parametrize("options", IMPLEMENTATIONS, ids=str)
def test_a_parameter_that_joins_later_begins_in_its_own_first_step(options):
    results = []
    for way in ({"foreach": False}, options):
        torch.manual_seed(0)
        params = [torch.randn(shape, requires_grad=True) for shape in ((200, 200), (3,), (5,), (4,))]
        optimizer = AdamCM(params, lr=1e-2, capacity=3, first_step="authors", **way)
        begun = {0: 0, 1: 0, 2: 1, 3: 5}
        for step in range(12):
            for i, param in enumerate(params):
                param.grad = torch.sin(param.detach() * (step + 2)) if step >= begun[i] else None
            before = [param.detach().clone() for param in params]
            optimizer.step()
            moved = [not torch.equal(a, b) for a, b in zip(before, params, strict=True)]
            assert moved == [step > begun[i] for i in range(4)]
        assert [int(state["step"]) for state in optimizer.state_dict()["state"].values()] == [12, 12, 11, 7]
        results.append(params)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("options", IMPLEMENTATIONS, ids=str)
def test_resumed_after_the_first_step_it_goes_on_identically(options, closure_for):
    whole, resumed = [], []
    params, closure_at = closure_for(Problem())
    optimizer = AdamCM(params, lr=1e-2, first_step="authors", **options)
    optimizer.step(closure_at(optimizer, 0))
    others, others_at = closure_for(Problem())
    other = AdamCM(others, lr=1e-2, **options)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    assert other.param_groups[0]["first_step"] == "authors"
    for t in range(1, 40):
        optimizer.step(closure_at(optimizer, t))
        other.step(others_at(other, t))
        whole.append([p.detach().clone() for p in params])
        resumed.append([p.detach().clone() for p in others])
    assert all(torch.equal(a, b) for x, y in zip(whole, resumed, strict=True) for a, b in zip(x, y, strict=True))


def test_a_state_that_was_saved_without_it_is_of_the_papers_first_step():
    param = torch.ones(3, requires_grad=True)
    optimizer = AdamCM([param], lr=1e-2)
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["first_step"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["first_step"] == "paper"


@pytest.mark.long
def test_torch_compile_leaves_the_first_step_out_of_its_graph():
    paths = []
    for compiled in (False, True):
        param = torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = AdamCM([param], lr=1e-2, first_step="authors")
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for t in range(4):
            param.grad = torch.cos(param.detach() * (t + 1))
            step()
            paths.append(param.detach().clone())
    torch.testing.assert_close(paths[:4], paths[4:])


def test_critical_gradients_have_none_of_it():
    """The released Adam with critical gradients makes the paper's first step."""
    with pytest.raises(ValueError, match="adam_cg has no hyperparameter 'first_step'"):
        create_optimizer("adam_cg", [torch.ones(1, requires_grad=True)], first_step="authors")
    with pytest.raises(ValueError, match=r"invalid first_step: 'mine' .accepted: 'paper' or 'authors'"):
        AdamCM([torch.ones(1, requires_grad=True)], first_step="mine")


def test_runs_that_do_without_it_do_not_know_it():
    plain = plan_landscapes(load_suite("escape_1d"))
    named = plan_landscapes(load_suite("escape_1d", sets=["first_step=paper"]))
    other = plan_landscapes(load_suite("escape_1d", sets=["first_step=authors"]))
    assert [spec.id for spec in plain] == [spec.id for spec in named]
    changed = {spec.optimizer.label for spec, twin in zip(plain, other, strict=True) if spec.id != twin.id}
    assert changed == {"adam_cm"}
    assert not any("first_step" in spec.optimizer.hyperparameters for spec in plain)


def recursion(steps, first_step="paper", capacity=5, beta1=0.9, beta2=0.999):
    """The steps of Adam+CM in units of the learning rate, under a gradient of 1 whose norm never falls."""
    m = v = 0.0
    buffer, taken = [], []
    for t in range(1, steps + 1):
        if t == 1 and first_step == "authors":
            buffer.append([1.0, 1.0])
            taken.append(0.0)
        else:
            m = beta1 * m + (1 - beta1)
            a = m + (sum(entry for _, entry in buffer) / len(buffer) if buffer else 0)
            v = beta2 * v + (1 - beta2) * a * a
            taken.append(a / (1 - beta1**t) / (v / (1 - beta2**t)) ** 0.5)
            if len(buffer) == capacity and buffer:
                buffer.remove(min(buffer))
            if capacity:
                buffer.append([1.0, m])
        for item in buffer:
            item[0] *= 0.7
    return taken


@pytest.mark.parametrize(
    ("row", "first_step", "capacity"),
    [("Adam+CM", "paper", 5), ("the same without a buffer", "paper", 0),
     ('Adam+CM with `first_step="authors"`', "authors", 5)],
)  # fmt: skip
def test_the_first_steps_are_as_long_as_the_documentation_says(row, first_step, capacity):
    expected = recursion(10, first_step, capacity)
    if capacity:
        param = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = AdamCM([param], lr=1.0, eps=0.0, first_step=first_step)
        taken, before = [], 0.0
        for _ in range(10):
            param.grad = torch.ones_like(param)
            optimizer.step()
            taken.append(before - param.item())
            before = param.item()
        assert taken == pytest.approx(expected, rel=1e-9)
    page = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text()
    said = re.search(rf"^\| {re.escape(row)}, × α \| (.+) \|$", page, re.MULTILINE)[1].split(" | ")
    shown = [*expected[:5], expected[9], sum(expected)]
    assert [float(text) for text in said] == pytest.approx(shown, abs=0.5, rel=0)
    assert [float(text) for text in said[:-1]] == pytest.approx(shown[:-1], abs=0.0501, rel=0)


def test_the_numbers_of_the_recursion_are_those_of_a_run_by_hand():
    """Two steps from θ = 1 with gradient 1 and then 2: the second aggregates m = 0.2 with the stored gradient, 1."""
    param = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AdamCM([param], lr=0.1, betas=(0.9, 0.99), eps=0.0, first_step="authors")
    for gradient in (1.0, 2.0):
        param.grad = torch.full_like(param, gradient)
        optimizer.step()
    a = 0.1 * 2 + 1
    step = 0.1 * (a / (1 - 0.81)) / np.sqrt(0.01 * a**2 / (1 - 0.99**2))
    assert param.item() == pytest.approx(1 - step, rel=1e-12)
