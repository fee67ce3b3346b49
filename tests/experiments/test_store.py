"""Results are written whole or not at all, and what is finished is not run again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cmbench.errors import UserError
from cmbench.experiments.atomic import write_atomically
from cmbench.experiments.execute import execute, in_turn
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import plan_training
from cmbench.experiments.process import this_machine
from cmbench.experiments.record import Measurement
from cmbench.experiments.store import ResultStore, folder_name
from cmbench.experiments.suite import load_suite


@pytest.fixture
def specs():
    return plan_training(load_suite("digits", opts=["adam", "sgd"]), "data", [0, 1])


def completed(members, value=1.0):
    return [Measurement("completed", metrics={"val_accuracy_best": value}) for _ in members]


def test_a_result_is_read_back_as_it_was_written(tmp_path, specs):
    store = ResultStore(tmp_path)
    outcome = execute(specs, store, in_turn(completed))
    assert [result for _, result in sorted(store.results(), key=lambda p: p[1].id)] == sorted(
        outcome.results, key=lambda r: r.id
    )
    assert store.path(specs[0]) == tmp_path / "digits" / "adam" / f"{specs[0].id}.json"


def test_numbers_that_json_cannot_hold_become_null(tmp_path, specs):
    store = ResultStore(tmp_path)
    run = lambda members: [Measurement("completed", metrics={"a": float("nan")}, curves={"b": [1.0, float("inf")]})]  # noqa: E731
    execute(specs[:1], store, in_turn(run))
    document = json.loads(store.path(specs[0]).read_text(), parse_constant=pytest.fail)
    assert document["metrics"] == {"a": None}
    assert document["curves"] == {"b": [1.0, None]}


def test_finished_runs_are_skipped_unless_forced(tmp_path, specs):
    store = ResultStore(tmp_path)
    execute(specs[:2], store, in_turn(completed))
    calls = []

    def run(members):
        calls.extend(members)
        return completed(members, 2.0)

    outcome = execute(specs, store, in_turn(run))
    assert (calls, outcome.skipped) == (specs[2:], 2)
    assert execute(specs, store, in_turn(run), force=True).skipped == 0
    assert calls == specs[2:] + specs


@pytest.mark.parametrize(("status", "again"), [("completed", 0), ("diverged", 0), ("failed", 1), ("interrupted", 1)])
def test_which_statuses_are_final(tmp_path, specs, status, again):
    calls = []

    def run(members):
        calls.append(members)
        return [Measurement(status)]

    for _ in range(2):
        try:
            execute(specs[:1], ResultStore(tmp_path), in_turn(run))
        except KeyboardInterrupt:
            assert status == "interrupted"
    assert len(calls) == 1 + again


def test_a_failure_is_recorded_and_the_others_still_run(tmp_path, specs):
    def run(members):
        if members[0] is specs[1]:
            raise RuntimeError("out of luck")
        return completed(members)

    outcome = execute(specs, ResultStore(tmp_path), in_turn(run))
    assert [result.status for result in outcome.results] == ["completed", "failed", "completed", "completed"]
    assert outcome.results[1].error == "RuntimeError: out of luck"
    assert not outcome.ok


def test_labels_with_equal_settings_are_run_once_and_each_has_its_result(tmp_path, file):
    optimizers = "optimizers:\n  adam: {lr: 0.01}\n  the same: {name: adam, lr: 0.01}\n  sgd: {}\n"
    suite = "kind: train\ndescription: twins\nworkload: digits\nepochs: 1\nbatch_size: 64\n" + optimizers
    specs = plan_training(load_suite(file(suite), kind="train"), "data", [0])
    store, calls = ResultStore(tmp_path), []

    def run(members):
        calls.extend(members)
        for spec in members:
            write_atomically(store.path(spec, ".pt"), lambda file: file.write(b"weights"))
        return completed(members)

    outcome = execute(specs, store, in_turn(run))
    assert [spec.optimizer.label for spec in calls] == ["adam", "sgd"]
    assert [result.optimizer.label for result in outcome.results] == ["adam", "the same", "sgd"]
    assert [result.taken_from for result in outcome.results] == [None, "mine/adam", None]
    twin = store.path(specs[1])
    assert twin.parent.name == "the_same"
    assert store.read(twin) == outcome.results[1]
    assert twin.with_suffix(".pt").read_bytes() == b"weights"
    assert execute(specs, store, in_turn(run)).skipped == 3
    assert len(calls) == 2


def of_another_suite(specs, name="other"):
    return [spec.model_copy(update={"suite": spec.suite.model_copy(update={"name": name})}) for spec in specs]


def test_what_another_suite_has_finished_is_taken_over_with_its_weights_and_says_so(tmp_path, specs):
    def run(members):
        for spec in members:
            for suffix in (".pt", ".best.pt"):
                write_atomically(
                    ResultStore(tmp_path).path(spec, suffix), lambda file, id=spec.id: file.write(id.encode())
                )
        return completed(members)

    class Heard(Listener):
        planned_runs, taken = None, ()

        def planned(self, todo):
            self.planned_runs = list(todo)

        def taken_over(self, spec, result):
            self.taken = (*self.taken, (spec.id, result.taken_from))

    execute(specs[:3], ResultStore(tmp_path), in_turn(run))
    others, heard, store = of_another_suite(specs), Heard(), ResultStore(tmp_path)
    outcome = execute(others, store, in_turn(run), listener=heard)
    assert heard.planned_runs == others[3:]
    assert heard.taken == tuple((s.id, f"digits/{s.optimizer.label}") for s in specs[:3])
    assert outcome.skipped == 3
    for spec, result in zip(others, outcome.results, strict=True):
        assert (result.suite.name, result.id) == ("other", spec.id)
        assert store.read(store.path(spec)) == result
        assert [store.path(spec, suffix).read_text() for suffix in (".pt", ".best.pt")] == [spec.id] * 2
    third = execute(of_another_suite(specs, "third"), ResultStore(tmp_path), in_turn(run))
    # where it was run, not where it was found
    assert {result.taken_from for result in third.results} == {"digits/adam", "digits/sgd", "other/sgd"}


def test_nothing_is_taken_over_that_is_not_final_or_not_wanted(tmp_path, specs):
    (spec,) = specs[:1]
    execute([spec], ResultStore(tmp_path), in_turn(lambda members: [Measurement("failed", error="out of luck")]))
    assert execute(of_another_suite([spec]), ResultStore(tmp_path), in_turn(completed)).skipped == 0
    again = execute(of_another_suite([spec], "third"), ResultStore(tmp_path), in_turn(completed), force=True)
    assert again.results[0].taken_from is None
    ResultStore(tmp_path).path(spec).write_text("broken")
    assert execute(of_another_suite([spec], "fourth"), ResultStore(tmp_path), in_turn(completed)).skipped == 1
    telemetry = spec.telemetry.model_copy(update={"gradient_norm": True})
    fifth = of_another_suite([spec.model_copy(update={"telemetry": telemetry})], "fifth")
    assert execute(fifth, ResultStore(tmp_path), in_turn(completed)).skipped == 0


def test_neighbours_with_one_batch_key_are_run_together(tmp_path, specs):
    sizes = []

    def run(members):
        sizes.append(len(members))
        return completed(members)

    execute(specs, ResultStore(tmp_path), in_turn(run), batch=lambda spec: spec.seed)
    assert sizes == [2, 2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")

    def write(file):
        file.write(b"half of the ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
    assert path.read_text() == "old"


def test_a_process_killed_while_writing_leaves_no_half_file_after_the_next_write(tmp_path):
    path = tmp_path / "file.json"
    code = (
        "import sys, time; from pathlib import Path; from cmbench.experiments.atomic import write_atomically\n"
        "def write(f): f.write(b'half'); f.flush(); print('writing', flush=True); time.sleep(60)\n"
        f"write_atomically(Path({str(path)!r}), write)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(path, lambda file: file.write(b"whole"))
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
    assert path.read_bytes() == b"whole"


def test_the_file_of_a_living_process_is_left_alone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        neighbour = tmp_path / f".file.json.{this_machine()}.{other.pid}.tmp"
        neighbour.write_text("being written")
        write_atomically(tmp_path / "file.json", lambda file: file.write(b"whole"))
        assert neighbour.exists()
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "cmbench.result/1"}', '{"schema": "other/2"}'])
def test_a_file_that_is_no_result_is_named(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"broken\.json: not a result"):
        ResultStore.read(path)


def test_nothing_in_a_result_names_the_machine(tmp_path, specs):
    execute(specs[:1], ResultStore(tmp_path), in_turn(completed))
    text = ResultStore(tmp_path).path(specs[0]).read_text()
    import platform

    assert str(tmp_path) not in text
    assert os.path.expanduser("~") + "/" not in text
    assert len(platform.node()) < 3 or platform.node() not in text
    assert time.strftime("%Y", time.gmtime()) in text


def test_labels_become_folder_names():
    assert folder_name("adam_cm C=20") == "adam_cm_C=20"
    assert folder_name("../../etc") == "_.._etc"
    assert folder_name("...") == "_"
