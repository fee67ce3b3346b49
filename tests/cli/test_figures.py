"""Figures of stored results, as files that `train` and `report` write."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

SHORT = ("--set", "epochs=3", "--seeds", 2, "--opt", "adam", "--opt", "adam_sam", "--quiet")


@pytest.fixture(scope="module")
def trained(shared_cmbench):
    """`cmbench` in a folder with runs of wine, whose telemetry was recorded, and of Levy's function."""
    telemetry = ("--set", "telemetry.gradient_norm=true", "--set", "telemetry.sharpness_every=3")
    shared_cmbench("train", "--suite", "wine", *SHORT, *telemetry)
    shared_cmbench("toy", "--suite", "levy", "--starts", 2, "--steps", 5, "--quiet")
    return shared_cmbench


@pytest.fixture
def saved(monkeypatch):
    """The figures that commands save, by the name of their file, as matplotlib has them."""
    figures: dict[str, Figure] = {}
    original = Figure.savefig

    def savefig(self, file, **options):
        figures[file.name] = self
        original(self, file, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def panels(figure):
    return {axes.get_title().split(" ")[0]: axes for axes in figure.axes if axes.get_title()}


def caption(figure):
    return " ".join(figure._supxlabel.get_text().split())


def test_report_draws_what_the_results_allow(trained, saved):
    done = trained("report", "--plot", "figures")
    assert done.stdout == trained("report").stdout
    assert saved.keys() == {"wine_curves.png", "wine_target.png", "wine_sharpness.png", "levy.png"}
    for name in saved:
        assert f"figure: figures/{name}" in done.stderr
        assert (trained.folder / "figures" / name).read_bytes().startswith(b"\x89PNG")
    curves = saved["wine_curves.png"]
    assert panels(curves).keys() == {"training", "validation", "distance", "gradient", "sharpness", "m-sharpness"}
    assert "Suite wine: A hidden layer of 16" in caption(curves)
    assert "3 epochs" in caption(curves)
    assert "Seeds: 2" in caption(curves)


def test_the_axis_is_epochs_unless_another_is_asked_for(trained, saved):
    runs = [result for result in trained.results() if result["kind"] == "train" and result["seed"] == 0]
    (result,) = (result for result in runs if result["optimizer"]["label"] == "adam_sam")
    for axis, last in (("epochs", 3), ("steps", result["cost"]["steps"]), ("gradients", 2 * result["cost"]["steps"])):
        trained("report", "--suite", "wine", "--plot", axis, *(() if axis == "epochs" else ("--axis", axis)))
        drawn = panels(saved["wine_curves.png"])["training"].lines
        assert max(line.get_xdata()[-1] for line in drawn) == pytest.approx(last)


def test_the_mean_over_seeds_is_drawn(trained, saved):
    trained("report", "--plot", "mean")
    losses = [
        result["curves"]["train_loss"]
        for result in trained.results()
        if result["kind"] == "train" and result["optimizer"]["label"] == "adam"
    ]
    assert len(losses) == 2
    means = [sum(pair) / 2 for pair in zip(*losses, strict=True)]
    drawn = [line.get_ydata().tolist() for line in panels(saved["wine_curves.png"])["training"].lines]
    assert any(line == pytest.approx(means) for line in drawn)
    assert all(any(line == pytest.approx(loss) for line in drawn) for loss in losses)


def test_train_draws_its_curves_into_a_file_or_a_folder(trained, saved):
    done = trained("train", "--suite", "wine", *SHORT[:-1], "--plot", "curves.svg", "--axis", "seconds")
    assert "figure: curves.svg" in done.stderr
    assert (trained.folder / "curves.svg").read_text().startswith("<?xml")
    assert panels(saved["curves.svg"])["training"].get_xlabel() == "seconds of training"
    trained("train", "--suite", "wine", *SHORT, "--plot", "boards")
    assert (trained.folder / "boards" / "wine.png").is_file()


def test_a_run_that_diverges_is_marked(cmbench, saved):
    sets = ("--set", "optimizers.adam.lr=1e6", "--set", "loss_bound=50")
    done = cmbench("train", "--suite", "wine", *SHORT[:-1], *sets, "--plot", "curves.png", code=3)
    assert "figure: curves.png" in done.stderr
    assert "diverged: Adam 2" in caption(saved["curves.png"])
    (legend,) = saved["curves.png"].legends
    assert "diverged" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(("arguments", "message"), [
    (("report", "--plot", "figure.png"), "--plot figure.png: accepted: a folder"),
    (("report", "--plot", "figures", "--claims"), "--plot: accepted: without --explain, --claims and --require"),
    (("train", "--suite", "wine", "--plot", "figure.gif"), "--plot figure.gif: accepted: a folder, or a file"),
    (("train", "--suite", "table3", "--plot", "a.png"), "--plot a.png: accepted for several suites: a folder"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_said_before_anything_runs(cmbench, arguments, message):
    assert message in cmbench(*arguments, code=2).stderr
    assert cmbench.files() == []


def test_a_target_is_drawn_against_gradients(trained, saved):
    trained("report", "--plot", "targets")
    (axes,) = saved["wine_target.png"].axes
    assert axes.get_xlabel() == "gradient evaluations"
    runs = [result for result in trained.results() if result["kind"] == "train"]
    target = sorted(max(result["curves"]["val_accuracy"]) for result in runs)[(len(runs) - 1) // 2]
    assert f"{target:.4g}" in axes.get_title()
    for line, label in zip(axes.lines, ("adam", "adam_sam"), strict=True):
        own = [result["curves"]["val_accuracy"] for result in runs if result["optimizer"]["label"] == label]
        assert line.get_ydata()[-1] == sum(max(curve) >= target for curve in own) / 2


def test_sharpness_is_drawn_against_the_metric_a_mark_per_run(trained, saved):
    trained("report", "--plot", "sharpness")
    (axes,) = saved["wine_sharpness.png"].axes
    runs = [result["curves"] for result in trained.results() if result["kind"] == "train"]
    marks = sorted(tuple(point) for line in axes.lines for point in line.get_xydata().tolist())
    assert marks == sorted((curves["top_eigenvalue"][-1], curves["val_accuracy"][-1]) for curves in runs)


def test_sharpness_that_was_measured_afterwards_is_drawn(cmbench, saved):
    cmbench("train", "--suite", "wine", *SHORT)
    cmbench("report", "--plot", "figures")
    assert "wine_sharpness.png" not in saved
    cmbench("sharpness", *cmbench.files("results/wine/*/*.json"), "--quiet")
    cmbench("report", "--plot", "figures")
    measured = [result["metrics"]["top_eigenvalue"] for result in cmbench.results() if result["kind"] == "sharpness"]
    drawn = [x for line in saved["wine_sharpness.png"].axes[0].lines for x in line.get_xdata().tolist()]
    assert sorted(drawn) == sorted(measured)
    assert len(measured) == 4


def test_a_profile_needs_two_suites_with_the_same_optimizers(cmbench, saved):
    for epochs in (2, 3):
        cmbench("train", "--suite", "wine", *SHORT, "--set", f"epochs={epochs}")
    cmbench("report", "--plot", "figures")
    assert {"profile.png", "wine_curves.png", "wine_2_curves.png"} <= saved.keys()
    assert "over 4 problems" in caption(saved["profile.png"])


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_of_a_report_are_drawn_in_the_format_that_is_asked_for(trained, ending, begins):
    trained("report", "--suite", "levy", "--plot", "drawn", "--plot-format", ending)
    assert (trained.folder / "drawn" / f"levy.{ending}").read_bytes().startswith(begins)
