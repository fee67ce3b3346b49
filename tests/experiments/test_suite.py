"""A suite and the command line's overrides become one validated whole, or one clear message."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.experiments import yaml
from cmbench.experiments.schedule import Schedule
from cmbench.experiments.suite import builtin_suites, load_suite
from cmbench.optim.registry import REGISTRY

SUITE = """
kind: train
description: for the tests
workload: digits
epochs: 2
batch_size: 64
optimizers:
  adam: {lr: 1e-3, betas: [0.9, 0.999]}
  adam_cm C=20: {name: adam_cm, lr: 1e-4, capacity: 20}
"""


def by_label(suite):
    return {spec.label: spec for spec in suite.optimizers}


@pytest.mark.parametrize("name", builtin_suites())
def test_every_suite_that_ships_is_valid(name):
    assert load_suite(name).settings.description


def test_labels_names_and_defaults(file):
    specs = by_label(load_suite(file()))
    assert specs["adam_cm C=20"].name == "adam_cm"
    assert specs["adam_cm C=20"].hyperparameters == REGISTRY["adam_cm"].resolve({"lr": 1e-4, "capacity": 20})
    assert specs["adam"].hyperparameters["lr"] == 1e-3


def test_opt_picks_labels_then_names_then_the_registry(file):
    assert list(by_label(load_suite(file(), opts=["adam_cm C=20"]))) == ["adam_cm C=20"]
    assert list(by_label(load_suite(file(), opts=["adam_cm", "adam"]))) == ["adam_cm C=20", "adam"]
    added = by_label(load_suite(file(), opts=["adam_sam"]))["adam_sam"]
    assert added.hyperparameters == REGISTRY["adam_sam"].resolve({})


def test_set_addresses_keys_one_optimizer_or_all_that_have_it(file):
    sets = ["epochs=3", "checkpoint.every_steps=20", "optimizers.adam_cm C=20.lr=0.5", "capacity=7", "betas=[0.5, 0.6]"]
    suite = load_suite(file(), sets=sets)
    assert (suite.settings.epochs, suite.settings.checkpoint.every_steps) == (3, 20)
    specs = by_label(suite)
    assert specs["adam_cm C=20"].hyperparameters["lr"] == 0.5
    assert specs["adam_cm C=20"].hyperparameters["capacity"] == 7
    assert "capacity" not in specs["adam"].hyperparameters
    assert all(spec.hyperparameters["betas"] == (0.5, 0.6) for spec in specs.values())


def test_a_workload_is_a_name_or_a_mapping_with_options(file):
    plain = load_suite(file(SUITE.replace("workload: digits", "workload: {name: digits}"))).settings
    assert (plain.workload, plain.options) == ("digits", {})
    chosen = load_suite(file(), sets=["workload.stem=imagenet", "workload.size=224"])
    assert (chosen.settings.workload, chosen.settings.options) == ("digits", {"stem": "imagenet", "size": 224})
    assert yaml.parse(chosen.as_yaml(), "")["workload"] == {"name": "digits", "stem": "imagenet", "size": 224}
    assert load_suite(file(chosen.as_yaml())).document() == chosen.document()
    other = load_suite(file(chosen.as_yaml()), sets=["workload=pydoc"]).settings
    assert (other.workload, other.options) == ("pydoc", {})


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("options.stem=cifar", r"mine\.yaml: options \(from --set options\.stem=cifar\): accepted: workload: {name"),
        ("workload={stem: cifar}", r"mine\.yaml: workload\.name: missing; accepted: workload: {name: NAME"),
        ("workload={name: 3}", r"mine\.yaml: workload: 3.*accepted: a valid string"),
    ],
)
def test_options_stand_with_the_name_of_their_workload(file, sets, message):
    with pytest.raises(UserError, match=message):
        load_suite(file(), sets=[sets])


def test_a_dotted_key_reaches_into_the_short_form(file):
    text = SUITE.replace("epochs: 2", "epochs: 2\nschedule: constant")
    suite = load_suite(file(text), sets=["schedule.name=step", "schedule.milestones=[1]"])
    assert suite.settings.schedule == Schedule(name="step", milestones=(1,))


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["epoch=3"], ["epoch", "did you mean 'epochs'"]),
        (["epochs=many"], ["mine.yaml", "epochs", "'many'", "--set epochs=many"]),
        (["epochs=0"], ["epochs: 0", "greater than or equal to 1"]),
        (["epochs=2.5"], ["epochs: 2.5", "integer"]),
        (["decay=1.5"], ["decay", "1.5", "(0, 1]", "adam_cm C=20"]),
        (["capacity=-1"], ["capacity", "-1", "from 0 to"]),
        (["rho=0.1"], ["no chosen optimizer has 'rho'"]),
        (["optimizers.adam.lt=1"], ["no hyperparameter 'lt'", "accepted: lr, betas"]),
        (["optimizers.adma.lr=1"], ["'adma'", "did you mean 'adam'"]),
        (["schedule.gama=1"], ["schedule.gama", "did you mean 'gamma'"]),
        (["schedule=triangle"], ["schedule.name", "'triangle'", "'constant', 'step', 'cosine'"]),
        (["schedule.warmup=1.5"], ["schedule.warmup: 1.5", "a number of steps, or a share"]),
        (["schedule={name: cosine, gamma: 0.5}"], ["schedule", "gamma: accepted for 'cosine': warmup, floor"]),
        (["schedule={name: wsd, decay: 1.5}"], ["schedule.decay: 1.5", "less than or equal to 1"]),
        (["lr"], ["--set lr", "key=value"]),
        (["lr=[1"], ["--set lr=[1", "not valid YAML"]),
    ],
)
def test_a_refused_override_names_key_value_and_what_is_accepted(file, sets, words):
    with pytest.raises(UserError) as refusal:
        load_suite(file(), sets=sets)
    assert all(word in str(refusal.value) for word in words), refusal.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SUITE.replace("kind: train", "kind: trian"), ["mine.yaml", "'trian'", "did you mean 'train'"]),
        (SUITE.replace("epochs: 2", "epochs: 2\nepochz: 3"), ["epochz", "did you mean 'epochs'"]),
        (SUITE.replace("epochs: 2", "epochs: 2\nepochs: 3"), ["mine.yaml:6", "given twice"]),
        (SUITE.replace("epochs: 2\n", ""), ["epochs: missing"]),
        (SUITE.replace("name: adam_cm", "name: adam_mc"), ["adam_cm C=20", "'adam_mc'", "did you mean 'adam_cm'"]),
        (SUITE.replace("lr: 1e-4", "lr: fast"), ["adam_cm C=20", "invalid lr: 'fast'"]),
        ("- 1\n", ["mine.yaml", "mapping"]),
        ("kind: [", ["mine.yaml", "not valid YAML"]),
        (SUITE.partition("optimizers")[0], ["optimizers", "at least one"]),
    ],
)
def test_a_refused_file_is_explained(file, text, words):
    with pytest.raises(UserError) as refusal:
        load_suite(file(text))
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_unknown_suites_and_wrong_kinds(file):
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load_suite("digit")
    with pytest.raises(UserError, match="no such file"):
        load_suite("nowhere/mine.yaml")
    with pytest.raises(UserError, match="this command runs 'toy' suites, this one is 'train'"):
        load_suite(file(), kind="toy")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_way_of_writing_a_number_is_that_number(number):
    for text in (repr(number), f"{number:e}", f"{number:.17g}"):
        assert yaml.parse(text, "test") == float(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text("abc e-1."),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
@example("1e1")
def test_what_is_dumped_is_read_back(value):
    assert yaml.parse(yaml.dump(value), "test") == value


def test_labels_that_share_a_folder_are_refused(file):
    text = SUITE + "  a b: {name: adam}\n  a/b: {name: sgd}\n"
    with pytest.raises(UserError, match=r"mine\.yaml: optimizers\.a/b: .* the folder 'a_b' with those of 'a b'"):
        load_suite(file(text))
    assert len(load_suite(file(text), opts=["a b", "adam"]).optimizers) == 2
