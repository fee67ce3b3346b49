"""What stored results say about the paper's claims: who is compared, over which seeds or starts, what is missing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from cmbench import report
from cmbench.experiments.plan import plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite, suites_of
from cmbench.report.paper.claims import CLAIMS
from cmbench.report.runs.plan import plan_of
from cmbench.report.verdicts.judge import judge
from tests.report.results import DATA, result_of, sharpness_of, trained

WOBBLE = (0.11, -0.07, 0.03, -0.12, 0.05, 0.08, -0.02, 0.09)


def claims(start):
    return [claim for claim in CLAIMS if claim.id.startswith(start)]


def verdict_on(claim_id, results):
    (claim,) = (claim for claim in CLAIMS if claim.id == claim_id)
    return judge(results, [claim])[0]


def trainings(suite, accuracies, lost=(), sets=(), seeds=5):
    """A completed run for every label and seed, the accuracy wobbling by seed; those of `lost` have that status."""
    specs = plan_training(load_suite(suite, sets=[*sets, f"seeds={seeds}"]), DATA)
    lost = dict(lost)
    return [
        result_of(spec, lost[spec.label, spec.seed])
        if (spec.label, spec.seed) in lost
        else trained(spec, accuracies[spec.label] + WOBBLE[(spec.seed * (1 + i)) % 8])
        for i, spec in enumerate(specs)
        if spec.label in accuracies and lost.get((spec.label, spec.seed)) != "missing"
    ]


CIFAR = {"adam": 93.0, "adam_cg": 93.4, "adam_sam": 93.2, "adam_cm": 94.0, "adam_sam_cm": 95.0}


def test_a_claim_about_training_is_judged_by_seeds():
    results = trainings("cifar10", CIFAR)
    found = verdict_on("table2/cifar10/cm-over-baselines", results)
    assert (found.verdict, found.n, found.unit) == ("reproduced", 5, "seeds")
    by_label = {label: [r.metrics["val_accuracy_best"] for r in results if r.label == label] for label in CIFAR}
    ps = [stats.ttest_rel(by_label["adam_cm"], by_label[label]).pvalue for label in ("adam", "adam_cg", "adam_sam")]
    assert found.p == pytest.approx(max(ps))
    assert [pair.worse for pair in found.pairs] == ["Adam", "Adam+CG", "Adam+SAM"]
    assert verdict_on("table2/cifar10/sam-cm-best", results).verdict == "reproduced"


def test_one_optimizer_that_does_better_contradicts_it():
    found = verdict_on("table2/cifar10/cm-over-baselines", trainings("cifar10", CIFAR | {"adam_sam": 95.5}))
    assert (found.verdict, found.deciding.worse) == ("contradicted", "Adam+SAM")
    assert found.deciding.comparison.high < 0


@pytest.mark.parametrize("status", ["missing", "diverged", "failed"])
def test_a_claim_with_seeds_that_did_not_complete_is_incomplete(status):
    results = trainings("cifar10", CIFAR, lost={("adam_sam", 3): status, ("adam", 3): status})
    found = verdict_on("table2/cifar10/cm-over-baselines", results)
    assert (found.verdict, found.p, found.p_holm) == ("incomplete", None, None)
    assert found.missing == (f"1 of 5 seeds {status}: Adam, Adam+SAM",)
    assert [pair.comparison.n for pair in found.pairs] == [4, 5, 4]


def test_more_seeds_than_the_suite_plans_count_where_both_have_them():
    found = verdict_on("table2/cifar10/cm-over-baselines", trainings("cifar10", CIFAR, seeds=8))
    assert (found.verdict, found.n) == ("reproduced", 8)


@pytest.mark.parametrize("sets", [["epochs=60"], ["optimizers.adam.lr=0.5"]])
def test_other_settings_are_not_held_against_the_paper(sets):
    found = verdict_on("table2/cifar10/cm-over-baselines", trainings("cifar10", CIFAR, sets=sets))
    assert found.verdict == ("not run" if "epochs" in sets[0] else "incomplete")
    assert found.command == "cmbench train --suite cifar10"


def test_a_claim_may_compare_runs_of_several_suites():
    results = [
        result
        for size, accuracy in ((32, 93.0), (64, 94.0), (128, 93.2), (256, 92.0))
        for result in trainings(f"figure10_cifar10_b{size}", {"adam_cm": accuracy})
    ]
    found = verdict_on("figure10/cifar10/batch-64-best", results)
    assert (found.verdict, found.n, len(found.pairs)) == ("inconclusive", 5, 3)  # every difference is the same
    for result in results[:5]:
        result.metrics["val_accuracy_best"] += 0.01 * result.seed
    assert {pair.worse for pair in verdict_on("figure10/cifar10/batch-64-best", results).pairs} == {
        f"Adam+CM (figure10_cifar10_b{size})" for size in (32, 128, 256)
    }
    lacking = verdict_on("figure10/cifar10/batch-64-best", results[:-1])
    assert lacking.missing == ("1 of 5 seeds missing: Adam+CM (figure10_cifar10_b256)",)
    assert lacking.command == "cmbench train --suite figure10"


def speed_up_results(epochs_to_best):
    """Curves that rise to 90 at the given epoch of each optimizer."""
    specs = plan_training(load_suite("cifar10_sgd"), DATA)
    return [
        result_of(spec, metrics={"val_accuracy_best": 90.0 + WOBBLE[spec.seed]},
                  curves={"val_accuracy": [90.0 if epoch >= epochs_to_best[spec.label][spec.seed] else 50.0
                                           for epoch in range(1, 101)]})
        for spec in specs
    ]  # fmt: skip


def test_a_speed_up_is_compared_with_the_reference_itself_which_has_1():
    found = verdict_on("table3/cifar10/sooner", speed_up_results(
        {"sgd": [40] * 5, "sgd_cg": [20, 21, 22, 20, 19], "sgd_cm": [30, 33, 31, 30, 32]}
    ))  # fmt: skip
    assert found.verdict == "reproduced"
    assert found.pairs[0].comparison.effect == pytest.approx(np.mean([40 / e - 1 for e in (20, 21, 22, 20, 19)]))
    never = verdict_on("table3/cifar10/sooner", speed_up_results(
        {"sgd": [40] * 5, "sgd_cg": [70, 71, 48, 49, 60], "sgd_cm": [30, 33, 31, 30, 32]}
    ))  # fmt: skip
    assert never.verdict == "contradicted"
    expected = np.mean([40 / e - 1 for e in (51, 51, 48, 49, 51)])
    assert never.pairs[0].comparison.effect == pytest.approx(expected)


def landscape(suite, lane, sets=()):
    """A finished result for every cell: `lane(spec)` gives its lanes."""
    resolved = load_suite(suite, sets=sets)
    return [result_of(spec, lanes=lane(spec)) for spec in plan_landscapes(resolved)]


def starts_of(spec):
    return spec.settings.starts + len(spec.settings.start_points or ())


def random_losses(means, seed=0):
    rng = np.random.default_rng(seed)

    def lanes(spec):
        return {"loss_final": list(rng.normal(means[spec.optimizer.name], 1.0, starts_of(spec)))}

    return lanes


ACKLEY = {"adam": 5.0, "adam_sam": 5.0, "adam_cg": 5.0, "adam_cm": 2.0, "adam_sam_cm": 2.0}


def test_a_claim_about_a_surface_is_judged_by_starts():
    results = landscape("ackley", random_losses(ACKLEY))
    found = verdict_on("figure4/cm-lower-loss", results)
    assert (found.verdict, found.unit, found.n) == (
        "reproduced",
        "starts",
        load_suite("ackley").settings.starts,  # not the one that was chosen
    )
    assert len(found.pairs) == 6
    assert all(pair.comparison.effect < 0 for pair in found.pairs)


def test_of_several_numbers_of_starts_the_most_are_heard():
    few = landscape("ackley", random_losses(ACKLEY | {"adam": 0.0}))
    many = landscape("ackley", random_losses(ACKLEY), sets=["starts=900"])
    found = verdict_on("figure4/cm-lower-loss", [*few, *many])
    assert found.verdict == "reproduced"
    assert found.n >= 900


def test_a_start_that_diverged_makes_a_mean_incomplete_and_a_share_smaller():
    def lanes(spec):
        losses = random_losses(ACKLEY)(spec)["loss_final"]
        if spec.optimizer.name == "adam_cg":
            losses[:2] = [None, None]
        reached = [spec.optimizer.name in ("adam_cm", "adam_sam_cm") and loss is not None for loss in losses]
        return {"loss_final": losses, "reached_global": reached}

    results = landscape("ackley", lanes)
    found = verdict_on("figure4/cm-lower-loss", results)
    n = starts_of(plan_of(load_suite("ackley"), [])[0])
    assert (found.verdict, found.missing) == ("incomplete", (f"2 of {n} starts diverged: Adam+CG",))
    share = verdict_on("figure4/cm-global", results)
    assert share.verdict == "reproduced"
    assert share.pairs[0].comparison.share


def escapes(chance, seed=0):
    """Lanes that escape with `chance(name, s)`."""
    rng = np.random.default_rng(seed)

    def lanes(spec):
        p = chance(spec.optimizer, spec.settings.sharpness)
        return {
            f"escaped_{key}": list(map(bool, rng.random(starts_of(spec)) < p)) for key in ("all", "nearer", "reached")
        }

    return lanes


def test_every_coefficient_is_a_comparison_of_its_own():
    results = landscape("escape_1d", escapes(lambda o, s: 0.9 if o.name == "adam_cm" else 0.2))
    found = verdict_on("figure7/cm-escapes", results)
    assert found.verdict == "reproduced"
    assert len(found.pairs) == 15
    assert {pair.measure for pair in found.pairs} == {"s=5", "s=10", "s=20", "s=50", "s=100"}
    worse = landscape("escape_1d", escapes(lambda o, s: 0.2 if o.name == "adam_cm" and s == 50 else 0.5))
    found = verdict_on("figure7/cm-escapes", worse)
    assert (found.verdict, found.deciding.measure) == ("contradicted", "s=50")


def test_a_pooled_claim_compares_means_over_the_coefficients():
    results = landscape(
        "figure7_right", escapes(lambda o, s: 0.2 + 0.03 * o.hyperparameters["capacity"]), sets=["starts=400"]
    )
    found = verdict_on("figure7/capacity", results)
    assert found.verdict == "reproduced"
    assert [(pair.better, pair.worse, pair.measure) for pair in found.pairs] == [
        ("Adam+CM C=20", "Adam+CM C=10", ""), ("Adam+CM C=10", "Adam+CM C=5", "")]  # fmt: skip
    lanes = {r.label: [] for r in results}
    for result in results:
        lanes[result.label].append(result.lanes["escaped_reached"])
    means = {label: np.mean(values, axis=0) for label, values in lanes.items()}
    expected = stats.ttest_rel(means["adam_cm C=10"], means["adam_cm C=5"])
    assert found.pairs[1].comparison.p == pytest.approx(expected.pvalue)


def test_matched_rows_are_compared_with_their_like():
    found = verdict_on("figure17/cm-over-cg", landscape(
        "figure17", escapes(lambda o, s: 0.8 if o.name == "adam_cm" else 0.3), sets=["starts=300"]
    ))  # fmt: skip
    assert found.verdict == "reproduced"
    assert {(pair.better, pair.worse) for pair in found.pairs} == {
        (f"Adam+CM C={c}", f"Adam+CG C={c}") for c in (5, 10, 20)
    }


def test_rates_that_are_computed_need_no_statistics():
    specs = plan_convergence(load_suite("convergence"))
    fine = [result_of(spec, curves={"rate": [0.5, 0.99]}) for spec in specs]
    found = verdict_on("figure3/converges", fine)
    assert (found.verdict, found.p, found.n) == ("reproduced", None, 4)
    diverges = result_of(specs[-1], curves={"rate": [0.5, 1.0]})
    assert verdict_on("figure3/converges", [*fine[:-1], diverges]).verdict == "contradicted"
    # Classical momentum is not what the claim is about.
    assert verdict_on("figure3/converges", [result_of(specs[0], curves={"rate": [1.5]})]).verdict == "not run"


def test_p_is_corrected_over_the_claims_that_were_run():
    results = trainings("cifar10", CIFAR)
    found = [v for v in judge(results) if v.was_run]
    alone = [verdict_on(v.claim.id, results) for v in found]
    assert len(found) >= 2
    assert [v.verdict for v in found] == [v.verdict for v in alone]
    smallest = min(found, key=lambda v: v.p)
    assert smallest.p_holm == pytest.approx(len(found) * smallest.p)


def test_a_table_carries_the_verdicts_on_its_own_runs():
    suite = load_suite("cifar10")
    results = trainings("cifar10", CIFAR, lost={("adam_sam_cm", 0): "missing"})
    notes = [note for note in report.tables(results, suites=[suite])[0].footnotes if note.startswith("paper, ")]
    assert any("Adam+CM is more accurate than Adam, Adam+CG and Adam+SAM: reproduced (p" in note for note in notes)
    assert any("reaches the best validation accuracy: incomplete (1 of 5 seeds missing: Adam+SAM+CM)" in note
               for note in notes)  # fmt: skip


def test_claims_stand_on_suites_rows_and_places_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) >= 40
    places = {claim.place.name for claim in CLAIMS}
    assert places >= {f"table{n}" for n in (1, 2, 3, 4, 5, 14)}
    assert places >= {f"figure{n}" for n in (*range(3, 11), *range(12, 21))}
    for claim in CLAIMS:
        suite = load_suite(claim.suite)
        specs = plan_of(suite, [])
        if claim.place.is_ours:
            assert suite.settings.paper is None
        assert claim.across_suites <= (set(suites_of(claim.place.name)) > {claim.suite})
        surfaces = {getattr(spec.settings, "surface", None) for spec in specs}
        assert claim.surface is None or claim.surface in surfaces
        coefficients = {getattr(spec.settings, "sharpness", None) for spec in specs}
        assert set(claim.coefficients) <= coefficients
        for of in (of for group in claim.order for of in group):
            optimizers = load_suite(of.suite or claim.suite).optimizers
            assert any(of.means(o.name, o.hyperparameters) for o in optimizers), (claim.id, of)
        assert (claim.margin is None and claim.relative_margin is None) == (claim.relation in ("lower", "higher"))


PRIORITIES = {"adam_cm gradient": 97.0, "adam_cm momentum": 97.0, "adam_cm fifo": 97.2, "adam_cm random": 95.0}


def test_a_question_of_our_own_is_answered_by_the_same_rule_and_corrected_by_itself():
    questions = trainings("priorities_digits", PRIORITIES, seeds=10)
    papers = trainings("cifar10", CIFAR)
    found = {v.claim.id: v for v in judge(questions + papers)}
    assert found["priorities/digits-momentum"].verdict == "alike"
    assert found["priorities/digits-random"].verdict == "different"
    assert found["priorities/digits-random"].deciding.comparison.effect == pytest.approx(2, abs=0.1)
    assert found["priorities/digits-single"].verdict == "incomplete"
    assert found["priorities/levy-random"].verdict == "not run"
    assert found["priorities/levy-random"].command == "cmbench toy --suite priorities_levy"
    ours = [v for v in found.values() if v.claim.place.is_ours and v.was_run]
    assert {v.family for v in ours} == {3}
    smallest = min(ours, key=lambda v: v.p)
    assert smallest.p_holm == pytest.approx(3 * smallest.p)
    alone = {v.claim.id: v for v in judge(papers)}
    assert {i: v.p_holm for i, v in alone.items()} == {
        i: v.p_holm for i, v in found.items() if not v.claim.place.is_ours
    } | {i: None for i, v in found.items() if v.claim.place.is_ours}


def test_questions_are_told_from_the_papers_claims(tmp_path):
    results = trainings("priorities_digits", PRIORITIES, seeds=10)
    (table,) = report.tables(results, suites=[load_suite("priorities_digits")])
    notes = [note for note in table.footnotes if "priorities" in note]
    assert len(notes) == 4
    assert all(note.startswith("our question: priorities: on digits, has Adam+CM") for note in notes)
    verdicts = report.judge(results, [claim for claim in CLAIMS if claim.suite == "priorities_digits"])
    text = " ".join(report.render_claims(verdicts).split())
    assert "as printed" not in text
    counts = text.partition("our questions: ")[2]
    assert re.fullmatch(
        r"\d different \(\d of them also after Holm's correction over the 3 that were run\), 1 alike, 1 incomplete",
        counts,
    )


def test_a_claim_about_flatness_is_judged_by_the_measurements_that_its_suite_makes():
    runs = trainings("digits_equal_rate", {"adam": 98.0, "adam_cg": 98.0, "adam_sam": 98.0, "adam_cm": 98.0}, seeds=10)
    value = {"adam": 3.0, "adam_cg": 4.0, "adam_sam": 3.5, "adam_cm": 2.0}
    as_planned = {"metric": "m-sharpness", "examples": 640}

    def wobble(run):
        return WOBBLE[run.seed * (1 + [*value].index(run.label)) % 8]

    measured = [sharpness_of(run, value[run.label] + wobble(run), **as_planned) for run in runs]
    others = [
        sharpness_of(run, 9 - value[run.label] + wobble(run), **(as_planned | changed))
        for run in runs
        for changed in ({"at": "best"}, {"examples": 100}, {"maximiser": "ascent"}, {"metric": "adaptive-sharpness"})
    ]
    at_the_end = "flatness/digits-equal-m-sharpness-last"
    found = verdict_on(at_the_end, [*others, *runs, *measured])
    assert (found.verdict, found.n, len(found.pairs)) == ("reproduced", 10, 3)
    assert [pair.comparison.effect for pair in found.pairs] == pytest.approx([-1.0, -1.5, -2.0], abs=0.1)
    assert verdict_on("flatness/digits-equal-m-sharpness-best", [*others, *runs]).verdict == "contradicted"
    assert verdict_on(at_the_end, [*others, *runs]).missing == (
        "10 of 10 seeds without m_sharpness: Adam+CM, Adam, Adam+SAM, Adam+CG",
    )
    lost = [result.model_copy(update={"status": "failed"}) for result in measured[:1]]
    assert verdict_on(at_the_end, [*runs, *lost, *measured[1:]]).verdict == "incomplete"
    nothing = verdict_on(at_the_end, [])
    assert nothing.command == "cmbench train --suite digits_equal_rate && cmbench sharpness --suite flatness_digits"
