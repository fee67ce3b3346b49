"""Many results are read as one is, and hold what they have in common once."""

import gc

import pytest

from cmbench.experiments.plan import plan_landscapes, plan_training
from cmbench.experiments.reader import ResultReader, collector_paused, json_files
from cmbench.experiments.result import Cost, JudgedBy
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import load_suite
from tests.report.results import DATA, lanes, result_of


@pytest.fixture
def store(tmp_path):
    """A store with diverged training runs of two seeds, and with cells of a landscape."""
    store = ResultStore(tmp_path)
    for spec in plan_training(load_suite("digits", kind="train"), DATA, seeds=[0, 1]):
        curves = {"epoch": [1, 2], "train_loss": [0.1, float("nan")]}
        where = {"threads": 2, "tf32": False, "git_commit": None}
        store.save(
            spec,
            result_of(
                spec,
                "diverged",
                diverged_step=7,
                judged_by=JudgedBy(metric="accuracy", better="higher"),
                metrics={"val_accuracy_best": 90.25, "val_accuracy_final": None},
                curves=curves,
                cost=Cost(wall_seconds=1.5, steps=7, gradient_evaluations=14),
                environment=where,
            ),
        )
    for spec in plan_landscapes(load_suite("levy")):
        store.save(spec, result_of(spec, lanes=lanes(loss_final=[0.5, None, 1, 2.0], reached=[True, False] * 2)))
    return store


def test_a_result_is_read_as_it_is_by_itself(store):
    files, reader = json_files(store.root), ResultReader()
    assert len(files) > 10
    for path in files:
        result, alone = reader.read(path), ResultStore.read(path)
        assert result == alone
        assert repr(result) == repr(alone)  # 1 is not 1.0, and True not 1
        assert result.model_fields_set == alone.model_fields_set
        assert result.model_dump() == alone.model_dump()


def test_what_results_have_in_common_is_one_object(store):
    digits = [result for _, result in store.results("digits")]
    for name in ("suite", "settings", "judged_by", "environment"):
        assert len({id(getattr(result, name)) for result in digits}) == 1, name
    assert len({id(result.optimizer) for result in digits}) == len({result.label for result in digits})
    assert len({id(result.metrics) for result in digits}) == len(digits)


def test_equal_numbers_of_different_kinds_stay_apart(store):
    first, second = (path for path, _ in list(store.results("digits"))[:2])
    for path, epochs in ((first, "12"), (second, "12.0")):
        path.write_text(path.read_text().replace('"epochs":12', f'"epochs":{epochs}'))
    reader = ResultReader()
    found = [reader.read(path).settings["epochs"] for path in (first, second)]
    assert [type(epochs) for epochs in found] == [int, float]


@pytest.mark.parametrize("text", ["", "{}", "{", "[1]", '{"schema": "another/1"}', "\xff"])
def test_a_file_that_holds_no_result_gives_none(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    assert ResultReader().read(path) is None
    assert ResultReader().read(tmp_path / "none.json") is None


def test_files_come_in_the_order_of_their_paths(tmp_path):
    for name in ("b/x/2.json", "b/x/10.json", "b-1/x/1.json", "b/x.json", "a.json", "b/x/note.txt", "b/.tmp.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert json_files(tmp_path) == sorted(tmp_path.rglob("*.json"))
    assert json_files(tmp_path / "nowhere") == []


def test_the_collector_of_cycles_goes_on_afterwards():
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
