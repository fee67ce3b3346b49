"""Wrong arguments are refused with the value and what would be accepted."""

import subprocess
import sys

import pytest
import torch

from cmbench.optim import SAM, AdamCM, create_optimizer, get_info, list_optimizers

PARAM = [torch.zeros(2, requires_grad=True)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -1.0), ("betas", (0.9, 1.0)), ("eps", -1e-8), ("weight_decay", -0.1), ("capacity", -1), ("capacity", 2.5),
     ("decay", 1.5), ("decay", 0.0), ("priority", "largest"), ("scope", "model")],
)  # fmt: skip
def test_a_refused_value_is_named(name, value):
    with pytest.raises(ValueError, match=rf"invalid {name}: .*accepted: "):
        AdamCM(PARAM, **{name: value})


@pytest.mark.parametrize("lr", [torch.tensor(-1.0), torch.tensor([1e-3, 1e-3]), torch.tensor(torch.nan)], ids=str)
@pytest.mark.parametrize("name", [n for n in list_optimizers() if get_info(n).memory])
def test_a_learning_rate_in_a_tensor_is_checked_like_a_number(name, lr):
    with pytest.raises(ValueError, match=r"invalid lr: tensor.*accepted: a number >= 0"):
        create_optimizer(name, PARAM, lr=lr)
    with pytest.raises(ValueError, match=r"invalid lr: tensor.*accepted: a number >= 0"):
        create_optimizer(name, [{"params": PARAM, "lr": lr}])


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("name", [n for n in list_optimizers() if get_info(n).memory and not get_info(n).probe])
def test_a_learning_rate_in_a_tensor_of_one_element_is_that_of_all_parameters(name, options):
    def stepped(lr, change):
        params = [torch.ones(n, requires_grad=True) for n in (2, 3)]
        optimizer = create_optimizer(name, params, lr=lr, **options)
        for k in range(3):
            for param in params:
                param.grad = param.detach() + k
            optimizer.step()
            change(optimizer, lr)
        return params

    in_place = stepped(torch.tensor([1e-2]), lambda _, lr: lr.mul_(0.5))
    by_number = stepped(
        1e-2, lambda optimizer, _: optimizer.param_groups[0].update(lr=optimizer.param_groups[0]["lr"] / 2)
    )
    torch.testing.assert_close(in_place, by_number)


def test_a_group_is_checked_like_the_defaults():
    with pytest.raises(ValueError, match="invalid lr: -1"):
        AdamCM([{"params": PARAM, "lr": -1}])
    with pytest.raises(ValueError, match="all groups share one buffer policy"):
        AdamCM([{"params": PARAM}, {"params": [torch.zeros(1, requires_grad=True)], "capacity": 7}])


def test_misspelt_names_get_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'adam_cm'"):
        create_optimizer("adam_mc", PARAM)
    with pytest.raises(ValueError, match="did you mean 'capacity'"):
        create_optimizer("adam_cm", PARAM, capacty=3)


@pytest.mark.parametrize("name", [n for n in list_optimizers() if get_info(n).probe])
def test_a_probe_asks_for_its_closure(name):
    with pytest.raises(RuntimeError, match="needs a closure"):
        create_optimizer(name, PARAM).step()


def test_a_probe_wraps_optimizers_only():
    with pytest.raises(TypeError, match="invalid base"):
        SAM(PARAM)


def test_importing_the_optimizers_pulls_in_torch_and_nothing_of_ours():
    code = (
        "import sys; before = set(sys.modules); from cmbench.optim import AdamCM; "
        "own = ('cmbench.optim', 'cmbench.version'); "
        "ours = {m for m in sys.modules if m.startswith('cmbench.') and not m.startswith(own)}; "
        "heavy = {'pandas', 'matplotlib', 'typer', 'pydantic', 'sklearn', 'yaml'} & set(sys.modules); "
        "assert 'torch' in sys.modules and not ours and not heavy, (ours, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_registry_is_read_without_torch():
    code = "import sys, cmbench.optim; cmbench.optim.list_optimizers(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
