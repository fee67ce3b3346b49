"""`cmbench sharpness` of lines and planes: slices along eigenvectors, barriers and planes between runs."""

import copy
import json
import math
import shutil

import numpy as np
import pytest
import torch

from cmbench.experiments.result import Result
from cmbench.report.figures.slices import planes
from cmbench.workloads.wine import Wine
from tests.curvature.networks import dense_hessian

FEW = ("--set", "points=9")


@pytest.fixture(scope="module")
def trained(shared_cmbench):
    """A seed of two optimizers and another one of the first, and a run of another workload."""
    shared_cmbench("train", "--suite", "wine", "--opt", "adam", "--opt", "adam_cm", "--seeds", "2")
    shared_cmbench("train", "--suite", "digits", "--opt", "adam", "--seeds", "1", "--set", "max_steps=2")
    return shared_cmbench


@pytest.fixture(scope="module")
def runs(trained):
    """The paths of the weights: two of Adam, two of Adam+CM."""
    paths = trained.files("results/wine/*/*.best.pt")
    return [path.with_name(path.name.replace(".best", "")) for path in paths]


@pytest.fixture(scope="module")
def reference():
    """Loss and solutions in float64, computed without cmbench's curvature."""
    return Reference()


class Reference:
    def __init__(self):
        workload = Wine()
        workload.load(torch.device("cpu"))
        self.model = workload.model().double()
        self.batch = workload.train_inputs.double(), workload.train_targets

    def theta(self, path):
        self.model.load_state_dict(torch.load(path)["model"])
        return torch.nn.utils.parameters_to_vector(self.model.parameters()).detach()

    def loss(self, theta):
        moved = copy.deepcopy(self.model)
        torch.nn.utils.vector_to_parameters(theta, moved.parameters())
        return self._loss(moved, self.batch).item()

    def hessian(self, path):
        self.theta(path)
        return dense_hessian(self.model, self._loss, self.batch)

    @staticmethod
    def _loss(model, batch):
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def measured(cmbench, *arguments, code=0):
    """The one measurement that the command gives."""
    (result,) = json.loads(cmbench("sharpness", *arguments, "--json", code=code).stdout)
    return result


def test_a_slice_along_the_top_eigenvector(trained, runs, reference):
    found = measured(trained, runs[0], "--metric", "slice", "--reach", "0.5", *FEW)
    theta, (values, vectors) = reference.theta(runs[0]), torch.linalg.eigh(reference.hessian(runs[0]))
    v = vectors[:, -1] * vectors[vectors[:, -1].abs().argmax(), -1].sign()
    x = np.linspace(-0.5, 0.5, 9)
    wanted = [reference.loss(theta + place * v) for place in x]
    assert found["curves"]["x"] == pytest.approx(x)
    assert found["curves"]["loss"] == pytest.approx(wanted, rel=5e-3)  # v is known to 1e-4 of the eigenvalue
    assert found["metrics"]["loss"] == pytest.approx(reference.loss(theta), rel=1e-5)
    assert found["metrics"]["top_eigenvalue"] == pytest.approx(values[-1].item(), rel=1e-4)
    assert found["metrics"]["lowest"] == min(found["curves"]["loss"])
    stencil = np.dot([-1, 16, -30, 16, -1], wanted[2:7]) / (12 * 0.125**2)
    assert found["metrics"]["curvature"] == pytest.approx(stencil, rel=1e-2)


def test_a_slice_in_the_plane_of_the_top_two(trained, runs, reference):
    found = measured(trained, runs[0], "--metric", "slice", "--top", "2", "--tolerance", "1e-5", *FEW)
    theta, (values, vectors) = reference.theta(runs[0]), torch.linalg.eigh(reference.hessian(runs[0]))
    first, second = (vectors[:, k] * vectors[vectors[:, k].abs().argmax(), k].sign() for k in (-1, -2))
    axis = np.linspace(-1, 1, 9)
    wanted = [reference.loss(theta + x * first + y * second) for y in axis for x in axis]
    assert found["curves"]["loss"] == pytest.approx(wanted, rel=5e-3)
    assert found["curves"]["eigenvalues"] == pytest.approx(values[[-1, -2]].tolist(), rel=1e-4)


def test_a_barrier_is_the_rise_over_the_line_to_another_run(trained, runs, reference):
    found = measured(trained, runs[0], "--metric", "barrier", "--to", runs[1])
    a, b = map(reference.theta, runs[:2])
    t = np.linspace(-0.5, 1.5, 41)
    losses = [reference.loss((1 - place) * a + place * b) for place in t]
    assert found["curves"]["t"] == pytest.approx(t)
    assert found["curves"]["loss"] == pytest.approx(losses, rel=1e-4)
    ends = reference.loss(a), reference.loss(b)
    assert (found["metrics"]["loss"], found["metrics"]["loss_other"]) == pytest.approx(ends, rel=1e-5)
    heights = [losses[i] - ((1 - t[i]) * ends[0] + t[i] * ends[1]) for i in range(10, 31)]
    assert found["metrics"]["barrier"] == pytest.approx(max(heights), rel=1e-4)
    assert found["metrics"]["highest_at"] == pytest.approx(t[10 + int(np.argmax(heights))])
    assert found["metrics"]["distance"] == pytest.approx((a - b).norm().item())
    assert found["settings"]["to"] == [runs[1].stem]


def test_the_other_runs_weights_are_those_that_its_file_says(trained, runs, reference):
    """A file of weights says which are meant, anything else means those of the measured run's place."""
    best = runs[3].with_suffix(".best.pt")
    asked = ("--metric", "barrier", *FEW)
    by_file = measured(trained, runs[0], *asked, "--to", best)
    assert by_file["settings"]["to"] == [f"{runs[3].stem}@best"]
    assert by_file["metrics"]["loss_other"] == pytest.approx(reference.loss(reference.theta(best)), rel=1e-5)
    assert by_file["id"] == measured(trained, runs[0], *asked, "--to", f"{runs[3].stem}@best")["id"]
    both = measured(trained, runs[0].with_suffix(".json"), *asked, "--at", "best", "--to", runs[3].stem)
    assert both["settings"]["to"] == [runs[3].stem]
    assert both["metrics"]["loss_other"] == by_file["metrics"]["loss_other"]


def test_a_plane_through_three_runs(trained, runs, reference):
    found = measured(trained, runs[0].stem, "--metric", "plane", "--to", runs[1].stem, "--to", runs[2].stem, *FEW)
    a, b, c = map(reference.theta, runs[:3])
    u = (b - a) / (b - a).norm()
    v = (c - a) - (c - a) @ u * u
    v /= v.norm()
    curves = found["curves"]
    wanted = [reference.loss(a + x * u + y * v) for y in curves["y"] for x in curves["x"]]
    assert curves["loss"] == pytest.approx(wanted, rel=1e-3)
    assert curves["solutions_loss"] == pytest.approx([reference.loss(theta) for theta in (a, b, c)], rel=1e-5)
    assert curves["solutions_x"] == pytest.approx([0, ((b - a) @ u).item(), ((c - a) @ u).item()])
    assert curves["solutions_y"] == pytest.approx([0, 0, ((c - a) @ v).item()])
    assert found["metrics"]["centre"] == pytest.approx(reference.loss((a + b + c) / 3), rel=1e-4)
    distances = [found["metrics"][f"distance_{name}"] for name in ("first", "second", "others")]
    assert distances == pytest.approx([(p - q).norm().item() for p, q in ((a, b), (a, c), (b, c))])


def name_of(run):
    """What figures and tables call the run of these weights."""
    result = json.loads(run.with_suffix(".json").read_text())
    return f"{result['optimizer']['label']} seed {result['seed']}"


def test_a_plane_shows_where_its_solutions_are(trained, runs):
    found = Result.model_validate(
        measured(trained, runs[0], "--metric", "plane", "--to", runs[1], "--to", runs[2], *FEW)
    )
    others = [Result.model_validate_json(run.with_suffix(".json").read_bytes()) for run in runs[1:3]]
    axes = planes([found], others).axes[0]
    (marks,) = axes.lines
    for drawn, axis in zip(marks.get_data(), "xy", strict=True):
        assert [*drawn] == pytest.approx(found.curves[f"solutions_{axis}"])
    assert [text.get_text() for text in axes.texts] == [name_of(run) for run in runs[:3]]


@pytest.mark.parametrize(
    ("metric", "options", "others"),
    [("slice", (), 0), ("slice", ("--top", "2"), 0), ("barrier", (), 1), ("plane", (), 2)],
)
def test_the_second_time_nothing_is_measured_and_the_same_is_drawn(metric, options, others, trained, runs):
    to = [word for run in runs[2 : 2 + others] for word in ("--to", run)]
    asked = (runs[0], "--metric", metric, *options, *to, *FEW)
    before = [path.read_bytes() for path in runs]
    drawn = []
    for name in ("one.svg", "two.svg"):
        done = trained("sharpness", *asked, "--plot", name)
        assert f"figure: {name}" in done.stderr
        drawn.append((trained.folder / name).read_text())
    assert "1 run was finished before; nothing to do" in done.stderr
    assert drawn[0] == drawn[1]
    assert "<svg" in drawn[0]
    assert "units of the weights" in drawn[0]
    if metric == "barrier":
        assert f"straight line to {name_of(runs[2])}" in drawn[0]
    assert [path.read_bytes() for path in runs] == before


def test_a_barrier_has_a_column_a_slice_has_none(trained, runs):
    done = trained("sharpness", "wine", "--metric", "barrier", "--metric", "slice", "--to", runs[0].stem, *FEW)
    assert "barrier" in done.stdout
    assert "slice" not in done.stdout
    report = json.loads(trained("report", "--format", "json", "--suite", "wine", code=4).stdout)  # seeds are missing
    (table,) = report["tables"]
    assert f"barrier (points=9, to={name_of(runs[0])})" in [column["title"] for column in table["columns"]]
    trained("report", "--html", "page.html")
    assert "barrier" in (trained.folder / "page.html").read_text()
    trained("report", "--plot", "figures")
    names = {path.name for path in trained.files("figures/*.png")}
    assert {"wine_slice.png", "wine_barrier.png"} <= names


def test_slices_alone_make_no_table_and_no_error(trained, runs, tmp_path):
    shutil.copytree(trained.folder / "results", tmp_path / "results")
    measured(trained, tmp_path / "results/wine/adam" / runs[0].name, "--metric", "slice", *FEW)
    for path in (tmp_path / "results").rglob("*.json"):
        if json.loads(path.read_text())["settings"].get("metric") != "slice":
            path.unlink()
    trained("report", "--out", tmp_path / "results")
    trained("report", "--out", tmp_path / "results", "--html", tmp_path / "page.html")


def test_the_run_itself_is_passed_over(trained, runs):
    done = trained("sharpness", "wine/adam", "--metric", "barrier", "--to", runs[0].stem, "--json", *FEW)
    assert [result["settings"]["of"] for result in json.loads(done.stdout)] == [runs[1].stem]


def test_what_does_not_converge_is_no_slice(trained, runs):
    limits = ("--set", "iterations=2", "--tolerance", "1e-12")
    done = trained("sharpness", runs[0], "--metric", "slice", *limits, "--plot", "lost.png", code=3)
    assert "not converged to 1e-12 in 2 products: the best estimate is" in done.stderr
    assert "lost.png: no figure" in done.stderr
    assert not (trained.folder / "lost.png").exists()


def test_where_the_loss_is_no_number_there_is_a_gap(trained, runs):
    found = measured(trained, runs[0], "--metric", "slice", "--reach", "1e38", *FEW, "--plot", "gap.svg")
    losses = found["curves"]["loss"]
    stored = (trained.folder / "gap.svg").read_text()
    trained("sharpness", runs[0], "--metric", "slice", "--reach", "1e38", *FEW, "--plot", "gap.svg")
    assert (trained.folder / "gap.svg").read_text() == stored
    assert found["status"] == "completed"
    assert losses[4] == found["metrics"]["loss"] > 0
    assert None in losses


def test_weights_that_are_no_numbers_end_in_a_failure_not_a_traceback(trained, runs, tmp_path):
    shutil.copytree(trained.folder / "results", tmp_path / "results")
    lost = tmp_path / "results" / runs[0].relative_to(trained.folder / "results")
    content = torch.load(lost)
    content["model"]["0.weight"].fill_(math.nan)
    torch.save(content, lost)
    to = [tmp_path / "results" / run.relative_to(trained.folder / "results") for run in runs[1:3]]
    for metric, others, reason in (
        ("barrier", to[:1], "the loss is no finite number somewhere between the solutions"),
        ("plane", to, "the weights are no finite numbers"),
    ):
        asked = [word for other in others for word in ("--to", other)]
        done = trained("sharpness", lost, "--metric", metric, *asked, *FEW, "--force", code=3)
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    content["model"] = torch.load(to[0])["model"]
    torch.save(content, lost)
    same = trained("sharpness", lost, "--metric", "barrier", "--to", to[0], *FEW, "--force", code=3)
    assert "the weights are the same" in same.stderr


def test_what_is_refused(trained, runs, tmp_path):
    def refusal(*arguments):
        return trained("sharpness", runs[0], *arguments, code=2).stderr

    to = ("--to", runs[1])
    assert "--metric barrier: accepted with: --to TARGET" in refusal("--metric", "barrier")
    assert "--metric plane: accepted with: --to TARGET --to TARGET" in refusal("--metric", "plane", *to)
    assert "accepted with: --metric barrier, plane" in refusal("--metric", "slice", *to)
    assert "accepted: one run" in refusal("--metric", "barrier", "--to", "wine/adam_cm")
    assert "is the run that is measured" in refusal("--metric", "barrier", "--to", runs[0])
    assert "accepted: 5, 9, 13" in refusal("--metric", "slice", "--set", "points=10")
    assert "1 (a line), 2 (a plane)" in refusal("--metric", "slice", "--top", "3")
    assert "reach: nothing that is measured depends on it" in refusal("--metric", "barrier", *to, "--reach", "1")
    assert "accepted with: --metric spectrum, slice, barrier, plane" in refusal("--metric", "trace", "--plot", "a.png")
    two = refusal("--metric", "slice", "--metric", "barrier", *to, "--plot", "a.png")
    assert "accepted for the figures of several metrics: a folder" in two
    other = trained.files("results/digits/adam/*.pt")[0]
    assert "workload digits, but wine in" in refusal("--metric", "barrier", "--to", other)
    wrong = tmp_path / runs[1].name
    shutil.copy(runs[1].with_suffix(".json"), wrong.with_suffix(".json"))
    content = torch.load(runs[1])
    content["model"]["0.weight"] = torch.zeros(8, 13)
    torch.save(content, wrong)
    assert "weights of another model" in refusal("--metric", "barrier", "--to", wrong, *FEW)
