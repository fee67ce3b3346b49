"""Parameter groups by patterns: who is meant, and runs against torch's AdamW with the same groups made by hand."""

import pytest
import torch
from torch import nn

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import derived_seed, generator
from cmbench.experiments.suite import load_suite
from cmbench.optim import create_optimizer, list_optimizers
from cmbench.training.groups import FACTOR, parameter_groups
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.processes import ALONE
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")
GROUPED = ("no_decay=[bias]", "lr_scale={linear: 0.5, '0.': 3}", "schedule={name: linear, warmup: 4}")


@pytest.fixture(scope="module")
def digits():
    workload = get_workload("digits")
    workload.load(CPU)
    return workload


def spec_for(opt, *sets):
    return plan_training(load_suite("digits", opts=[opt], sets=["epochs=2", *sets]), "data", [0])[0]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 7)
        self.head.weight = self.embedding.weight


def grouped(model, *sets, **hyperparameters):
    found = parameter_groups(model, spec_for("adam", *sets).settings, {"lr": 0.1} | hyperparameters)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        tuple(names[parameter] for parameter in group["params"]): (
            0.1 * group.get(FACTOR, 1.0),
            group.get("weight_decay"),
        )
        for group in found
    }


def test_a_pattern_is_part_of_a_parameters_name_or_of_its_modules_class():
    assert grouped(Tied(), "no_decay=[bias, NORM]", weight_decay=0.1) == {
        ("embedding.weight", "body.0.weight"): (0.1, None),
        ("body.0.bias", "body.1.weight", "body.1.bias", "head.bias"): (0.1, 0.0),
    }
    assert grouped(Tied(), "no_decay=[bias]").keys() == {tuple(name for name, _ in Tied().named_parameters())}


def test_factors_of_several_patterns_are_multiplied():
    found = grouped(Tied(), "lr_scale={body: 0.5, norm: 0.1, head: 2}")
    assert {names: pytest.approx(rate) for names, (rate, _) in found.items()} == {
        ("embedding.weight",): 0.1,
        ("body.0.weight", "body.0.bias"): 0.05,
        ("body.1.weight", "body.1.bias"): 0.005,
        ("head.bias",): 0.2,
    }


def test_without_a_setting_the_parameters_are_in_their_own_order():
    model = Tied()
    (group,) = parameter_groups(model, spec_for("adam").settings, {"lr": 0.1})
    found = group["params"]
    assert all(a is b for a, b in zip(found, model.parameters(), strict=True))


@pytest.mark.parametrize("sets", ["no_decay=[bias, layernorm]", "lr_scale={layernorm: 2}"])
def test_a_pattern_for_nothing_names_the_parameters(sets, digits):
    with pytest.raises(UserError, match=r"'layernorm' is meant for no parameter: .* 0\.weight, 0\.bias, 2\.weight"):
        Learner(spec_for("adam", sets), digits, CPU, ALONE)


@pytest.mark.parametrize("value", ["no_decay=bias", "lr_scale={bias: 0}", "lr_scale={bias: fast}"])
def test_a_value_that_is_no_pattern_or_factor_is_refused(value):
    with pytest.raises(UserError, match=rf"digits\.yaml: {value.partition('=')[0]}"):
        spec_for("adam", value)


def test_a_run_with_groups_is_torchs_adamw_with_these_groups(digits, tmp_path):
    sets = ("weight_decay=0.3", "lr=1e-3", "batch_size=100", *GROUPED)
    measured = train(spec_for("adam", *sets), digits, CPU, lambda suffix: tmp_path / f"run{suffix}")
    torch.manual_seed(derived_seed(0, "weights"))
    model = digits.model()
    own = dict(model.named_parameters())
    factors = {"0.weight": 3, "0.bias": 3, "2.weight": 1, "2.bias": 1, "6.weight": 0.5, "6.bias": 0.5}
    optimizer = torch.optim.AdamW(
        [{"params": [own[name]], "weight_decay": 0.0 if "bias" in name else 0.3} for name in factors],
        betas=(0.9, 0.99),
    )
    step = 0
    for epoch in range(2):
        for chosen in torch.randperm(1437, generator=generator(0, "order", epoch)).split(100):
            for group, factor in zip(optimizer.param_groups, factors.values(), strict=True):
                group["lr"] = 1e-3 * factor * ((step + 1) / 5 if step < 4 else 1 - (step - 4) / 26)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(digits.train_inputs[chosen]), digits.train_targets[chosen]).backward()
            optimizer.step()
            step += 1
    ends = torch.load(tmp_path / "run.pt", weights_only=True)["model"]
    for name, parameter in own.items():
        torch.testing.assert_close(ends[name], parameter.detach(), rtol=1e-3, atol=1e-5)
    assert measured.curves["lr"][-1] == pytest.approx(1e-3 / 26)


@pytest.mark.parametrize("opt", list_optimizers())
def test_every_optimizer_takes_groups(opt, digits):
    learner = Learner(spec_for(opt, *GROUPED), digits, CPU, ALONE)
    learner.set_lr(0.5)
    base = spec_for(opt).optimizer.hyperparameters["lr"]
    assert sorted(group["lr"] / base for group in learner.optimizer.param_groups) == pytest.approx(
        sorted([1.5, 0.5, 0.25] * (2 if "weight_decay" in learner.optimizer.param_groups[0] else 1))
    )
    assert learner.lr == pytest.approx(base / 2)
    (batch, *_) = digits.batches(64, generator(0, "order", 0))
    learner.step(digits, batch, None)
    assert learner.distance() > 0


@pytest.mark.parametrize("options", [{"foreach": True}, pytest.param({"fused": True}, marks=pytest.mark.long)])
def test_groups_are_the_same_to_every_implementation(options, digits):
    ends = []
    settings = spec_for("adam_cm", *GROUPED).settings
    for chosen in ({"foreach": False}, options):
        torch.manual_seed(0)
        model = digits.model()
        hyperparameters = {"lr": 1e-2, "weight_decay": 0.1}
        optimizer = create_optimizer(
            "adam_cm", parameter_groups(model, settings, hyperparameters), **hyperparameters, **chosen
        )
        for chosen in range(8):
            rows = slice(32 * chosen, 32 * chosen + 32)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(digits.train_inputs[rows]), digits.train_targets[rows]).backward()
            optimizer.step()
        optimizer.state_dict()
        ends.append([parameter.detach() for parameter in model.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opt", ["adam", "adam_sam_cm"])
def test_a_run_with_groups_that_was_stopped_ends_bit_for_bit_the_same(opt, digits, tmp_path):
    class Stops(Interrupt):
        requested = True

    spec = spec_for(opt, "checkpoint.every_steps=9", "weight_decay=0.1", *GROUPED)
    whole = train(spec, digits, CPU, lambda suffix: tmp_path / f"whole{suffix}")
    for _ in range(3):
        train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}", interrupt=Stops())
    resumed = train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    assert (resumed.metrics, resumed.curves) == (whole.metrics, whole.curves)
