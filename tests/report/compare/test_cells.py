"""What is called a regression: differences by seed and start, beyond a tolerance, and not by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.result import Cost
from cmbench.experiments.suite import load_suite
from cmbench.report.compare.cells import changes
from cmbench.report.compare.formats import render_changes
from cmbench.report.compare.sides import Side, read_side
from cmbench.report.comparison import holm
from tests.report.results import DATA, result_of, save, trained

WOBBLE = (0.11, -0.07, 0.03, -0.12, 0.05, 0.08, -0.02, 0.09)


def training(folder, accuracies, *, seeds=range(5), lost=(), sets=(), drop=(), jitter=0.0, seconds=lambda spec: 10.0):
    """A results folder with a run of digits for every optimizer of `accuracies` and seed."""
    specs = [
        spec
        for spec in plan_training(load_suite("digits", sets=sets), DATA, seeds)
        if spec.label in accuracies and (spec.label, spec.seed) not in drop
    ]
    rng = np.random.default_rng(int(1000 * jitter) + 1)
    results = []
    for i, spec in enumerate(specs):
        if (spec.label, spec.seed) in lost:
            results.append(result_of(spec, "diverged", diverged_step=3))
            continue
        noise = WOBBLE[(spec.seed * 3 + i) % 8] + 10 * jitter * float(rng.normal())
        results.append(trained(spec, accuracies[spec.label] + noise, seconds(spec)))
    save(folder, specs, results)
    return read_side(folder)


def change_of(cells, label, metric="val_accuracy_best"):
    (cell,) = (cell for cell in cells if cell.label == label and cell.metric == metric)
    return cell


BASE = {"adam": 97.0, "adam_cm": 98.0}


def test_a_lower_accuracy_is_a_regression_and_a_higher_one_an_improvement(tmp_path):
    base = training(tmp_path / "a", BASE)
    new = training(tmp_path / "b", {"adam": 96.0, "adam_cm": 99.0}, jitter=0.002)
    cells = changes(base, new)
    worse, better = change_of(cells, "adam"), change_of(cells, "adam_cm")
    assert (worse.change, better.change) == ("regressed", "improved")
    before, after = ([run.values["val_accuracy_best"][0] for run in side.groups[0].runs] for side in (base, new))
    expected = stats.ttest_rel(after, before)
    assert worse.p == pytest.approx(expected.pvalue)
    assert worse.comparison.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert (worse.base, worse.new) == pytest.approx((np.mean(before), np.mean(after)))
    assert [cell.p_holm for cell in cells] == pytest.approx(holm(cell.p for cell in cells))


@pytest.mark.parametrize(("tolerance", "change"), [(0.5, "regressed"), (0.9, "unchanged"), (1.5, "unchanged")])
def test_a_change_within_the_tolerance_is_none(tmp_path, tolerance, change):
    cells = changes(training(tmp_path / "a", BASE), training(tmp_path / "b", BASE | {"adam": 96.0}, jitter=0.005),
                    {"val_accuracy": tolerance})  # fmt: skip
    assert change_of(cells, "adam").change == change
    assert change_of(cells, "adam_cm").change == "unchanged"


def test_the_same_runs_are_identical_also_by_a_baseline_file(tmp_path):
    base = training(tmp_path / "a", BASE)
    base.save(tmp_path / "baseline.json")
    again = read_side(tmp_path / "baseline.json")
    assert again.model_dump_json() == base.model_dump_json()
    assert {cell.change for cell in changes(again, base)} == {"identical"}


def test_what_is_missing_is_incomplete_and_what_diverges_now_has_regressed(tmp_path):
    base = training(tmp_path / "a", BASE | {"adam_cg": 97.5, "adam_sam": 97.5})
    new = training(tmp_path / "b", BASE | {"adam_cg": 97.5}, drop={("adam", 2)}, lost={("adam_cm", 4)}, jitter=0.001)
    cells = changes(base, new)
    assert (change_of(cells, "adam").change, change_of(cells, "adam").notes) == (
        "incomplete",
        ("1 of 5 seeds missing",),
    )
    assert change_of(cells, "adam_cm").change == "regressed"
    assert change_of(cells, "adam_cm").notes == ("1 of 5 seeds diverge or fail now",)
    assert change_of(cells, "adam_cg").change == "unchanged"
    assert (change_of(cells, "adam_sam").change, change_of(cells, "adam_sam").notes) == ("incomplete", ("no runs",))


def test_two_seeds_are_too_few_to_say_anything(tmp_path):
    cells = changes(training(tmp_path / "a", BASE, seeds=range(2)),
                    training(tmp_path / "b", {"adam": 50.0, "adam_cm": 50.0}, seeds=range(2)))  # fmt: skip
    assert {cell.change for cell in cells} == {"incomplete"}
    assert all("fewer than 3 seeds" in cell.notes and cell.visible is None for cell in cells)


def test_other_seeds_are_compared_without_pairs(tmp_path):
    base, new = training(tmp_path / "a", BASE), training(tmp_path / "b", BASE | {"adam": 95.0}, seeds=range(10, 16))
    cell = change_of(changes(base, new), "adam")
    before, after = ([run.values["val_accuracy_best"][0] for run in side.groups[0].runs] for side in (base, new))
    assert (cell.change, cell.paired) == ("regressed", False)
    assert cell.p == pytest.approx(stats.ttest_ind(after, before, equal_var=False).pvalue)
    assert change_of(changes(base, new), "adam_cm").change == "unchanged"


def test_settings_that_differ_are_said(tmp_path):
    new = training(tmp_path / "b", BASE, sets=["epochs=7", "optimizers.adam.lr=0.5"], jitter=0.001)
    cells = changes(training(tmp_path / "a", BASE), new)
    assert change_of(cells, "adam").notes == ("epochs 12 → 7", "lr 0.01 → 0.5")
    assert change_of(cells, "adam_cm").notes == ("epochs 12 → 7",)


def test_times_are_a_ratio_with_an_interval_on_one_machine_only(tmp_path):
    def timed(folder, factor, cpu):
        side = training(folder, BASE, seconds=lambda spec: factor * (10 + 0.1 * spec.seed + 0.03 * (spec.seed == 2)))
        machine = {"cpu": cpu, "torch": "2.14", "threads": 2, "device": "cpu"}
        return Side(groups=tuple(group.model_copy(update={"machine": machine}) for group in side.groups))

    base = timed(tmp_path / "a", 1.0, "x")
    slower = Side(groups=tuple(
        group.model_copy(update={"runs": tuple(
            run.model_copy(update={"wall_seconds": run.wall_seconds * (1.3 + 0.01 * (run.seed % 2))})
            for run in group.runs)}) for group in base.groups
    ))  # fmt: skip
    cell = change_of(changes(base, slower), "adam")
    assert cell.change == "identical"  # time is shown, not judged
    assert 1.29 < cell.time.low < cell.time.value < cell.time.high < 1.32
    shown = render_changes(changes(base, slower))
    assert (shown.count("digits adam:"), shown.count("time ×1.3")) == (1, 2)
    assert "val_accuracy_best 97" in shown
    assert change_of(changes(base, timed(tmp_path / "b", 1.3, "y")), "adam").time is None


def landscapes(folder, chance, seed=0, suite="escape_1d", rng_seed=0, sets=()):
    specs = plan_landscapes(load_suite(suite, sets=[f"seed={seed}", *sets]))
    rng = np.random.default_rng(rng_seed)
    results = [
        result_of(
            spec,
            lanes={"escaped_reached": [bool(v) for v in rng.random(spec.settings.count) < chance(spec)]},
            cost=Cost(wall_seconds=1.0, steps=1, gradient_evaluations=1),
        )
        for spec in specs
    ]
    save(folder, specs, results)
    return read_side(folder)


def test_starts_are_the_pairs_of_a_landscape_and_cells_are_told_apart(tmp_path):
    base = landscapes(tmp_path / "a", lambda spec: 0.6)
    new = landscapes(tmp_path / "b", lambda spec: 0.2 if spec.label == "adam" and spec.settings.sharpness == 5 else 0.6,
                     rng_seed=1)  # fmt: skip
    cells = changes(base, new)
    assert {(cell.label, cell.cell) for cell in cells if cell.change == "regressed"} == {
        ("adam", "sharp_flat sharpness=5")
    }
    cell = next(cell for cell in cells if cell.change == "regressed")
    assert cell.comparison.share
    assert cell.paired
    assert cell.comparison.n >= 200


def test_a_start_that_diverges_now_has_regressed(tmp_path):
    base = landscapes(tmp_path / "a", lambda spec: 0.6)
    groups = []
    for group in base.groups:
        values = group.runs[0].values["escaped_reached"]
        broken = tuple(None if i < 3 and group.label == "adam_cg" else value for i, value in enumerate(values))
        run = group.runs[0].model_copy(update={"values": {"escaped_reached": broken}, "status": "diverged"})
        groups.append(group.model_copy(update={"runs": (run,)}))
    cells = changes(base, Side(groups=tuple(groups)))
    assert {cell.label for cell in cells if cell.change == "regressed"} == {"adam_cg"}


def test_rates_are_computed_and_compared_as_they_are(tmp_path):
    specs = plan_convergence(load_suite("convergence"))

    def side(name, rate):
        results = [result_of(spec, curves={"rate": [0.5, rate]}) for spec in specs]
        save_all(tmp_path / name, specs, results)
        return read_side(tmp_path / name)

    def save_all(folder, specs, results):
        from cmbench.experiments.store import ResultStore

        for spec, result in zip(specs, results, strict=True):
            ResultStore(folder).save(spec, result)

    base = side("a", 0.9)
    assert {cell.change for cell in changes(base, side("b", 0.90000001))} == {"unchanged"}
    assert {cell.change for cell in changes(base, side("c", 0.91))} == {"regressed"}
    assert {cell.change for cell in changes(base, side("d", 0.91), {"rate": 0.02})} == {"unchanged"}


@pytest.mark.parametrize(("given", "message"), [
    ({"accuracy": 1.0}, "no such metric: .*accepted: val_accuracy_best"),
    ({"val_accuracy": -1.0}, "accepted: a number from 0 on"),
])  # fmt: skip
def test_a_tolerance_of_nothing_is_refused(tmp_path, given, message):
    base = training(tmp_path / "a", BASE)
    with pytest.raises(UserError, match=message):
        changes(base, base, given)


def test_what_is_no_baseline_is_refused_by_its_name(tmp_path):
    (tmp_path / "x.json").write_text('{"schema": "cmbench.baseline/2", "groups": []}')
    (tmp_path / "y.json").write_text("nothing")
    for name, message in (("x.json", "schema"), ("y.json", "not a baseline file"), ("z.json", "no such")):
        with pytest.raises(UserError, match=rf"{name}.*{message}"):
            read_side(tmp_path / name)
