"""`cmbench optimizers` lists every optimizer, and what one can be told."""

import json

from cmbench.optim import create_optimizer, list_optimizers
from cmbench.optim.registry import HYPERPARAMETERS


def test_every_optimizer_and_hyperparameter_is_listed(cmbench):
    words = cmbench("optimizers").stdout.split()
    assert set(list_optimizers()) <= set(words)
    assert set(HYPERPARAMETERS) <= set(words)


def test_one_is_explained_with_the_defaults_that_it_is_made_with(cmbench):
    import torch

    (listed,) = json.loads(cmbench("optimizers", "rmsprop_sam_cm", "--json").stdout)
    made = create_optimizer("rmsprop_sam_cm", [torch.zeros(1, requires_grad=True)]).param_groups[0]
    told = {each["name"]: each["default"] for each in listed["hyperparameters"]}
    assert told == {name: made[name] for name in told}
    assert told["momentum"] == 0.9
    assert listed["gradient_evaluations"] == 2
    text = cmbench("optimizers", "rmsprop_sam_cm").stdout
    assert all(each["name"] in text and each["description"].split()[0] in text for each in listed["hyperparameters"])


def test_a_misspelt_one_is_refused_with_a_suggestion(cmbench):
    assert "did you mean 'adam_cm'" in cmbench("optimizers", "adam_mc", code=2).stderr
