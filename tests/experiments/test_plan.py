"""A run's identity is what determines its outcome, and nothing else."""

import subprocess
import sys

import pytest

from cmbench.experiments.plan import plan_training, seeds_of, seeds_text
from cmbench.experiments.suite import load_suite


def ids(data="data", seeds=None, **overrides):
    suite = load_suite("digits", **overrides)
    return [spec.id for spec in plan_training(suite, data, seeds)]


def test_optimizers_times_seeds_and_all_different():
    assert len(set(ids())) == 5 * 5
    assert len(ids(seeds=[7])) == 5
    assert set(ids(sets=["seeds=2"])) < set(ids())


@pytest.mark.parametrize(
    "sets", ["epochs=3", "lr=0.5", "batch_size=32", "schedule.gamma=0.5", "capacity=3", "loss_bound=9"]
)
def test_what_changes_the_outcome_changes_the_identity(sets):
    assert set(ids(opts=["adam_cm"], sets=[sets])).isdisjoint(ids(opts=["adam_cm"]))


def test_other_data_is_another_run():
    assert set(ids(data="other")).isdisjoint(ids())


@pytest.mark.parametrize("sets", ["checkpoint.every_steps=7", "description=another", "implementation=plain"])
def test_what_does_not_change_the_outcome_keeps_the_identity(sets):
    assert ids(sets=[sets]) == ids()


def test_the_label_is_no_part_of_the_identity(tmp_path):
    path = tmp_path / "renamed.yaml"
    path.write_text(load_suite("digits", opts=["adam_cm"]).as_yaml().replace("adam_cm:", "mine:\n    name: adam_cm"))
    renamed = [spec.id for spec in plan_training(load_suite(str(path)), "data")]
    assert renamed == ids(opts=["adam_cm"])


def test_identities_do_not_depend_on_the_process():
    code = (
        "from cmbench.experiments.plan import plan_training; from cmbench.experiments.suite import load_suite; "
        "print(*[s.id for s in plan_training(load_suite('digits'), 'data')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ids()


def test_seeds_are_read_as_they_were_written_and_never_more_than_a_command_takes():
    assert seeds_of(seeds_text([0, 1, 2, 7])) == {0, 1, 2, 7}
    assert len(seeds_of("0-9999")) == 10_000
    for text in ("0-10000", ",".join(["0-9999"] * 300), "0-9999999999999999999", "x", "", "3-", "-3"):
        assert seeds_of(text) == frozenset()
