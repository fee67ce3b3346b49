"""What tests of suites share."""

import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite


@pytest.fixture
def specs():
    """Four runs: two optimizers, two seeds."""
    return plan_training(load_suite("digits", kind="train", opts=["adam", "sgd"]), "data", [0, 1])


@pytest.fixture
def file(request, tmp_path):
    """Writes a suite, by default the test module's own `SUITE`, and gives its path."""

    def write(text=None):
        path = tmp_path / "mine.yaml"
        path.write_text(request.module.SUITE if text is None else text)
        return str(path)

    return write
