"""From a suite to measurements: what is checked before anything runs, and what a cell's numbers mean."""

import dataclasses
import sys

import numpy as np
import pytest
import torch

from cmbench.errors import UserError
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import builtin_suites, load_suite, read_suite
from cmbench.landscapes import surfaces
from cmbench.landscapes.cells import prepare, run_cells, run_suite
from cmbench.landscapes.measure import REACH, at_global_minimum
from cmbench.landscapes.select import surface_overrides, toy_suite, with_capacities
from cmbench.landscapes.surfaces import get_surface

LANDSCAPES = [name for name in builtin_suites() if read_suite(name)[2]["kind"] in ("toy", "escape-ratio")]

USER_FUNCTIONS = """
import torch
def bowl(x): return x.square().sum(-1)
def total(x): return x.square().sum()
def mixed(x): return x.square().sum(-1) * x.shape[0]
def constant(x): return torch.ones(x.shape[:-1])
def broken(x): return x.squared()
def narrow(x): return x[..., 5]
"""


def resolved(tmp_path, text, sets=()):
    file = tmp_path / "mine.yaml"
    file.write_text("description: mine\n" + text)
    return load_suite(str(file), sets=sets)


TOY = "kind: toy\nsurface: {}\noptimizers:\n  adam: {{lr: 0.1}}\n"


@pytest.mark.parametrize("name", LANDSCAPES)
def test_every_shipped_suite_names_surfaces_that_exist_and_states_their_domain(name):
    suite = load_suite(name)
    prepare(suite)
    if name != "surface":
        assert all(domain is not None for domain in suite.settings.domains.values())


@pytest.mark.parametrize(
    ("text", "sets", "message"),
    [
        (TOY.format("levi"), (), "suite mine: surface: unknown surface 'levi': did you mean 'levy'"),
        (
            "kind: toy\nsurfaces: {levy: null, akley: null}\noptimizers: {adam: }\n",
            (),
            "surfaces.akley: unknown surface 'akley': did you mean 'ackley'",
        ),
        (TOY.format("goldstein_price"), ("dim=3",), "dim: 3: accepted for 'goldstein_price': 2"),
        (TOY.format("sharp_flat"), (), "sharpness: missing: surface 'sharp_flat' needs it"),
        (TOY.format("levy"), ("sharpness=[2]",), "sharpness: surface 'levy' has none"),
        (TOY.format("quadratic"), ("spectrum=[1,2,3]",), "spectrum: 3 eigenvalues: accepted: dim = 2"),
        (TOY.format("levy"), ("spectrum=[1,2]",), "spectrum: surface 'levy' has none"),
        (TOY.format("functions:bowl"), (), "has no customary domain"),
        (TOY.format("functions:total"), ("domain=[-1,1]",), r"returns \(\)"),
        (TOY.format("functions:mixed"), ("domain=[-1,1]",), "depends on the points beside it"),
        (TOY.format("functions:constant"), ("domain=[-1,1]",), "does not depend on x"),
        (TOY.format("functions:broken"), ("domain=[-1,1]",), "raises: AttributeError"),
        (TOY.format("functions:narrow"), ("domain=[-1,1]",), "raises: IndexError"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path, monkeypatch, text, sets, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "functions.py").write_text(USER_FUNCTIONS)
    with pytest.raises(UserError, match=message):
        run_suite(resolved(tmp_path, text, sets), ResultStore(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def cell(tmp_path, text, sets=(), **options):
    return run_cells(prepare(resolved(tmp_path, text, sets)).specs, **options)


def test_numbers_of_a_cell_on_a_quadratic_are_those_of_its_closed_form(tmp_path):
    """Gradient descent multiplies coordinate d by 1 − lr·h_d in every step."""
    text = (
        "kind: toy\nsurface: quadratic\nspectrum: [1, 4]\nstart_points: [[1, 2], [-3, 0]]\nsteps: 30\n"
        "optimizers:\n  sgd: {lr: 0.1}\n"
    )
    (measured,) = cell(tmp_path, text)
    points = np.array([[1.0, 2.0], [-3.0, 0.0]])
    factors = np.array([0.9, 0.6])
    path = points[:, None] * factors ** np.arange(31)[:, None]
    loss = 0.5 * (path**2 * [1, 4]).sum(-1)
    assert measured.status == "completed"
    np.testing.assert_allclose(measured.lanes["loss_final"], loss[:, -1], rtol=1e-10)
    np.testing.assert_allclose(measured.lanes["loss_best"], loss.min(1), rtol=1e-10)
    np.testing.assert_allclose(measured.lanes["sharpness"], [4, 4])
    np.testing.assert_allclose(measured.lanes["distance_to_minimum"], np.linalg.norm(path[:, -1], axis=-1), rtol=1e-10)
    steps = np.linalg.norm(np.diff(path, axis=1), axis=-1).sum(1)
    np.testing.assert_allclose(measured.lanes["path_length"], steps, rtol=1e-10)
    assert measured.lanes["reached_global"] == [True, True]
    assert measured.metrics["loss_final"] == pytest.approx(loss[:, -1].mean())
    assert measured.metrics["reached_global"] == 1
    np.testing.assert_allclose(measured.curves["trajectory"], path, rtol=1e-5)
    np.testing.assert_allclose(measured.curves["loss_mean"], loss.mean(0), rtol=1e-5)
    for name, share in (("loss_q25", 0.25), ("loss_median", 0.5), ("loss_q75", 0.75)):
        np.testing.assert_allclose(measured.curves[name], np.quantile(loss, share, axis=0), rtol=1e-5)
    assert (measured.cost.steps, measured.cost.gradient_evaluations) == (30, 30)


def test_the_minima_of_goldstein_price_are_stored_by_loss_and_curvature(tmp_path):
    """Losses from Picheny's formula by hand; the curvature is the largest over directions, by second differences."""
    (measured,) = cell(tmp_path, TOY.format("goldstein_price") + "starts: 1\nsteps: 1\n")
    points = np.array([[0, -1], [-0.6, -0.4], [1.8, 0.2], [1.2, 0.8]])
    losses = (np.log([3, 30, 84, 840]) - 8.693) / 2.427

    def f(x, y):
        a = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
        b = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
        return (np.log(a * b) - 8.693) / 2.427

    angles, h = np.linspace(0, np.pi, 20_001), 1e-4
    step = h * np.stack([np.cos(angles), np.sin(angles)])
    curvature = [
        ((f(*(p[:, None] + step)) - 2 * f(*p) + f(*(p[:, None] - step))) / h**2).max() for p in points
    ]  # fmt: skip
    expected = sorted(zip(losses, curvature, strict=True))
    np.testing.assert_allclose(measured.curves["minima"], expected, rtol=1e-4)


def test_reaching_a_minimum_nearby_is_not_reaching_the_global_one(tmp_path):
    text = TOY.format("ackley") + "start_points: [[0.1, 0.1], [2.9, 1.0]]\nsteps: 400\n"
    (measured,) = cell(tmp_path, text, ["lr=0.01"])
    assert measured.lanes["reached_global"] == [True, False]
    assert max(measured.lanes["distance_to_minimum"]) < 0.02
    assert measured.metrics["reached_global"] == 0.5


def test_a_cell_with_a_lost_lane_is_diverged_and_its_means_are_not_those_of_the_survivors(tmp_path):
    text = "kind: toy\nsurface: quadratic\nspectrum: [1, 1]\nstart_points: [[1, 1], [1.e+300, 1.e+300]]\nsteps: 20\n"
    (measured,) = cell(tmp_path, text + "optimizers:\n  sgd: {lr: 0.1}\n")
    assert measured.status == "diverged"
    assert measured.diverged_step == 0
    assert measured.error == "1 of 2 lanes diverged, the first @ step 0"
    assert measured.lanes["loss_final"][1] is None
    assert measured.lanes["loss_final"][0] == pytest.approx(0.9**40)
    assert measured.metrics["loss_final"] is None
    assert measured.lanes["reached_global"] == [True, False]


def test_a_start_that_passes_through_the_global_minimum_was_there_and_does_not_end_there(tmp_path):
    """Momentum 0.98 carries a start at 1.2 past the well at 0, of half-width 0.5, and leaves it elsewhere."""
    text = (
        "kind: toy\nsurface: quadratic\ndim: 1\nspectrum: [1]\nstart_points: [[1.2], [0.3], [40]]\nsteps: 40\n"
        "optimizers:\n  sgd: {lr: 0.01, momentum: 0.98}\n"
    )
    (measured,) = cell(tmp_path, text)
    x, u, path = np.array([1.2, 0.3, 40.0]), np.zeros(3), [np.array([1.2, 0.3, 40.0])]
    for _ in range(40):
        u = 0.98 * u + x
        x = x - 0.01 * u
        path.append(x)
    near = np.abs(np.array(path)) < 0.5
    assert measured.lanes["ever_reached"] == near.any(0).tolist() == [True, True, False]
    assert measured.lanes["reached_global"] == near[-1].tolist()
    assert measured.lanes["reached_global"][0] is False
    assert measured.metrics["ever_reached"] == pytest.approx(2 / 3)


def test_given_starts_come_first_and_the_drawn_ones_are_those_that_are_drawn_alone(tmp_path):
    given = "start_points: [[0.1, 0.2], [3, 4]]\n"
    begin = {}
    for name, more in (("given", given), ("both", given + "starts: 3\n"), ("drawn", "starts: 3\n")):
        (measured,) = cell(tmp_path, TOY.format("levy") + "steps: 1\n" + more)
        begin[name] = [path[0] for path in measured.curves["trajectory"]]
    assert begin["given"] == [[0.1, 0.2], [3, 4]]
    assert begin["both"] == begin["given"] + begin["drawn"]
    assert len(begin["drawn"]) == 3


def test_a_suite_needs_starts_of_one_kind(tmp_path):
    with pytest.raises(UserError, match="starts: 0: accepted without start_points: a number >= 1"):
        resolved(tmp_path, TOY.format("levy") + "starts: 0\n")
    assert resolved(tmp_path, TOY.format("levy")).settings.starts == 20


def test_a_result_of_other_starts_or_without_the_quartiles_is_not_taken_for_finished(tmp_path):
    suite = resolved(tmp_path, TOY.format("levy") + "starts: 3\nsteps: 2\n")
    store = ResultStore(tmp_path / "results")
    (result,) = run_suite(suite, store).results
    (spec,) = prepare(suite).specs
    assert spec.is_finished_by(result)
    one_less = {name: lanes[1:] for name, lanes in result.lanes.items()}
    assert not spec.is_finished_by(result.model_copy(update={"lanes": one_less}))
    without = {name: curve for name, curve in result.curves.items() if name != "loss_median"}
    assert not spec.is_finished_by(result.model_copy(update={"curves": without}))


def test_escape_criteria_at_the_minima_of_the_sharp_flat_function(tmp_path):
    text = (
        "kind: escape-ratio\nsurface: sharp_flat\ndim: 3\nsharpness: [4, 9]\nsteps: 5\n"
        "start_points: [[0, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 1], [0.4, 0, 0]]\noptimizers:\n  sgd: {lr: 1.e-9}\n"
    )
    for measured in cell(tmp_path, text):
        assert measured.lanes["escaped_all"] == [True, False, False, False, True]
        assert measured.lanes["escaped_nearer"] == [True, False, True, False, True]
        assert measured.lanes["escaped_reached"] == [True, False, False, False, False]
        assert measured.metrics["escape_ratio_all"] == 0.4
        assert measured.metrics["escape_ratio_nearer"] == 0.6
        assert measured.metrics["escape_ratio_reached"] == 0.2


def test_cells_that_differ_in_sharpness_alone_give_what_each_gives_alone(tmp_path):
    text = "kind: escape-ratio\ndim: 2\nsteps: 60\nstarts: 7\nsharpness: {}\noptimizers:\n  adam_cm: {{lr: 0.05}}\n"
    together = cell(tmp_path, text.format("[3, 30]"))
    for measured, s in zip(together, (3, 30), strict=True):
        (own,) = cell(tmp_path, text.format(f"[{s}]"))
        assert (own.lanes, own.metrics, own.curves) == (measured.lanes, measured.metrics, measured.curves)


@pytest.mark.long
def test_the_size_of_a_result_is_bounded(tmp_path):
    (measured,) = cell(tmp_path, TOY.format("levy"), ["starts=500", "steps=3000", "dim=4"])
    numbers = torch.tensor(measured.curves["trajectory"]).numel()
    assert numbers <= 12_000
    assert len(measured.curves["step"]) == 251
    assert len(measured.lanes["loss_final"]) == 500


def test_every_optimizer_and_coefficient_begins_at_the_same_points(tmp_path):
    specs = prepare(load_suite("escape_1d", sets=["steps=1", "starts=5"])).specs
    begin = {tuple(m.curves["trajectory"][i][0][0] for i in range(5)) for s in specs for m in run_cells([s])}
    assert len(begin) == 1


def test_editing_ones_own_surface_makes_it_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_too.py").write_text(USER_FUNCTIONS)
    suite = resolved(tmp_path, TOY.format("mine_too:bowl"), ["domain=[-1,1]", "steps=3"])
    (before,) = prepare(suite).specs
    (tmp_path / "mine_too.py").write_text(USER_FUNCTIONS + "# edited\n")
    (after,) = prepare(suite).specs
    assert before.id != after.id


def test_a_surface_without_known_minima_is_measured_without_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_three.py").write_text(USER_FUNCTIONS)
    (measured,) = cell(tmp_path, TOY.format("mine_three:bowl"), ["domain=[-1,1]", "steps=3"])
    assert list(measured.lanes) == ["loss_final", "loss_best", "sharpness", "path_length"]


def test_a_surface_with_minima_but_no_known_global_one_is_measured_as_far_as_that_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_four.py").write_text(
        f"{USER_FUNCTIONS}\nfrom cmbench.landscapes.surfaces import Surface\n"
        "hole = Surface('hole', bowl, (-1, 1), nearest_minimum=torch.zeros_like)\n"
    )
    (measured,) = cell(tmp_path, TOY.format("mine_four:hole"), ["starts=2", "steps=3", "start_points=[[3,4],[0,1]]"])
    assert list(measured.lanes) == ["loss_final", "loss_best", "sharpness", "distance_to_minimum", "path_length"]
    ends = np.array(measured.curves["trajectory"])[:, -1]
    assert measured.lanes["distance_to_minimum"] == pytest.approx(np.hypot(*ends.T), rel=1e-5)


WRONG = {
    "nearest_minimum=lambda x: x.sum(-1)": r"nearest_minimum returns \(3,\): accepted: \(3, 2\)",
    "global_minimum=lambda dim: (0.0,) * 3": r"global_minimum returns \(3,\): accepted: \(2\)",
    "global_minimum=(0.0, 0.0)": "global_minimum raises TypeError",
    "minima=lambda: torch.zeros(2)": r"minima returns \(2,\): accepted: \(M, 2\)",
}


@pytest.mark.parametrize("known", WRONG)
def test_minima_of_another_shape_are_refused_before_anything_runs(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_five.py").write_text(
        f"{USER_FUNCTIONS}\nfrom cmbench.landscapes import Surface\nbad = Surface('bad', bowl, (-1, 1), {known})\n"
    )
    monkeypatch.delitem(sys.modules, "mine_five", raising=False)
    with pytest.raises(UserError, match=f"mine_five:bad': {WRONG[known]}"):
        prepare(resolved(tmp_path, TOY.format("mine_five:bad")))


def test_a_cell_ranked_by_chance_is_a_function_of_its_own_settings(tmp_path):
    """Run with the cells of other coefficients or without them: its lanes have the same numbers."""
    text = (
        "kind: escape-ratio\nstarts: 4\nsteps: 60\nsharpness: [2, 20]\n"
        "optimizers:\n  adam_cm: {lr: 0.1, capacity: 3, priority: random}\n"
    )
    suite = resolved(tmp_path, text)
    run_suite(suite, ResultStore(tmp_path / "both"))
    run_suite(resolved(tmp_path, text, ["sharpness=[20]"]), ResultStore(tmp_path / "one"))
    (alone,) = (result for _, result in ResultStore(tmp_path / "one").results())
    (beside,) = (result for _, result in ResultStore(tmp_path / "both").results() if result.settings["sharpness"] == 20)
    assert alone.lanes == beside.lanes


def test_another_surface_of_a_suite_is_chosen_with_the_domain_that_the_suite_has_for_it():
    for surface, domain in (("levy", (-10, 10)), ("ackley", None)):
        suite = load_suite("table1", sets=surface_overrides("table1", surface))
        assert suite.settings.domains == {surface: domain}
    assert surface_overrides("levy", "levy") == []
    assert [toy_suite(name) for name in (None, "levy", "a:b", "escape_1d")] == ["ackley", "levy", "surface", "surface"]


def test_capacities_multiply_the_optimizers_that_have_a_memory():
    suite = with_capacities(load_suite("escape_10d"), [3, 7])
    labels = ["adam", "adam_sam", "adam_cg C=3", "adam_cg C=7", "adam_cm C=3", "adam_cm C=7"]
    assert [spec.label for spec in suite.optimizers] == labels
    assert [spec.hyperparameters.get("capacity") for spec in suite.optimizers] == [None, None, 3, 7, 3, 7]
    with pytest.raises(UserError, match="--capacity -1: invalid capacity: -1"):
        with_capacities(suite, [-1])
    with pytest.raises(UserError, match="no chosen optimizer has one"):
        with_capacities(load_suite("escape_10d", opts=["adam"]), [5])


@pytest.mark.parametrize("name", ["ackley", "levy", "griewank", "himmelblau", "schaffer_2", "goldstein_price"])
def test_who_is_at_a_global_minimum_is_seen_without_asking_for_the_nearest_everywhere(name):
    surface = get_surface(name)
    low, high = surface.domain
    generator = torch.Generator().manual_seed(0)
    anywhere = low + (high - low) * torch.rand(300, 2, dtype=torch.float64, generator=generator)
    lowest = torch.tensor(surface.global_minimum(2), dtype=torch.float64)
    x = torch.cat([anywhere, lowest + torch.randn(300, 2, dtype=torch.float64, generator=generator) / 2])
    x[5] = torch.nan
    nearest = surface.nearest_minimum(x.nan_to_num())
    expected = ((x - nearest).norm(dim=-1) < REACH) & (surface.function(nearest) <= surface.function(lowest) + 1e-9)
    assert expected.any()
    assert not expected.all()
    assert torch.equal(at_global_minimum(surface, surface.function, x), expected)


@pytest.mark.parametrize("name", [name for name in LANDSCAPES if not name.endswith("_peers")])
def test_a_suite_has_enough_starts_to_tell_optimizers_apart(name):
    settings = load_suite(name).settings
    assert settings.starts + len(settings.start_points or ()) >= 200


@pytest.mark.parametrize("suite", ["levy", "ackley", "figure1", "escape_10d"])
def test_results_are_those_of_autograd_and_of_the_readable_step(suite, monkeypatch):
    kind = "escape-ratio" if suite.startswith("escape") else "toy"
    sets = ["starts=30", "steps=40", "schedule=constant"] if kind == "toy" else ["starts=30", "steps=40"]
    specs = prepare(load_suite(suite, kind=kind, opts=["adam", "adam_sam", "adam_cg", "adam_cm"], sets=sets)).specs
    fast = [run_cells([spec])[0] for spec in specs]
    monkeypatch.setenv("CMBENCH_NO_NATIVE", "1")
    plain = {name: dataclasses.replace(surface, slope=None) for name, surface in surfaces.SURFACES.items()}
    monkeypatch.setattr(surfaces, "SURFACES", plain)
    for mine, spec in zip(fast, specs, strict=True):
        reference = run_cells([spec])[0]
        assert mine.lanes.keys() == reference.lanes.keys()
        for name, values in reference.lanes.items():
            assert mine.lanes[name] == pytest.approx(values, rel=1e-6, abs=1e-8), name
