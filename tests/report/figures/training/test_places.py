"""Figures 8, 9, 10, 19 and 20 as `report --figure N --plot` draws them from results like those of their suites."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import JudgedBy
from cmbench.experiments.suite import load_suite
from tests.report.results import DATA, result_of, save


def store(folder, name, curves, accuracy=lambda spec: 90.0):
    """Completed runs of two seeds of a suite; `curves` and `accuracy` give what each has, by its spec."""
    specs = [spec for spec in plan_training(load_suite(name), DATA) if spec.seed < 2]
    judged = JudgedBy(metric="accuracy", better="higher")
    save(folder / "results", specs, [
        result_of(spec, curves={"epoch": [1, 2]} | curves(spec), judged_by=judged,
                  metrics={"val_accuracy_best": accuracy(spec)})
        for spec in specs
    ])  # fmt: skip


@pytest.fixture
def draw(cmbench, monkeypatch):
    """`draw(8)`: the figure that the command has saved as `figures/figure8.png`."""
    saved = {}
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: saved.update({str(file): self}))

    def draw(number):
        cmbench("report", "--figure", number, "--plot", "figures", code=4)
        assert list(saved) == [f"figures/figure{number}.png"]
        return saved[f"figures/figure{number}.png"]

    return draw


def caption(figure):
    return " ".join(figure._supxlabel.get_text().split())


@pytest.mark.parametrize(("recorded", "said"), [
    (("buffer_agreement", "buffer_cosine_similarity"), "the entry of the highest norm with the others."),
    (("buffer_cosine_similarity",), "the paper's is of the highest norm, which these results do not hold"),
])  # fmt: skip
def test_figure_8_has_sharpness_distance_variance_and_agreement(cmbench, draw, recorded, said):
    def curves(spec):
        found = {"top_eigenvalue": [None, 2.0], "distance": [1.0, 2.0]}
        if "c" in spec.optimizer.name:
            found |= {"buffer_variance": [0.1, 0.2]} | {name: [i, 0.5] for i, name in enumerate(recorded)}
        return found

    store(cmbench.folder, "figure8", curves)
    figure = draw(8)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split()[0] for title in titles] == ["sharpness", "distance", "variance", "agreement"]
    assert said in caption(figure)
    agreement = [line.get_ydata().tolist() for line in figure.axes[3].lines if len(line.get_ydata())]
    assert agreement
    assert {tuple(line) for line in agreement} == {(0.0, 0.5)}  # those of the first that is recorded


def test_figure_9_has_sharpness_by_buffer_size_and_a_panel_per_data_set(cmbench, draw):
    for name, base in (("figure9_cifar10", 10.0), ("figure9_cifar100", 20.0)):
        store(cmbench.folder, name, lambda spec, base=base: {
            "top_eigenvalue": [None, base / spec.optimizer.hyperparameters["capacity"] + spec.seed]
        })  # fmt: skip
    for axes, base in zip(draw(9).axes, (10.0, 20.0), strict=True):
        points = axes.containers[0].lines[0]
        assert list(points.get_xdata()) == [1, 5, 10, 20]
        assert list(points.get_ydata()) == pytest.approx([base / c + 0.5 for c in (1, 5, 10, 20)])
        (bar, *_) = axes.containers[0].lines[2][0].get_segments()
        assert float(bar[1, 1] - bar[0, 1]) == pytest.approx(2 * np.std([0, 1], ddof=1))


def test_figure_10_has_accuracy_by_batch_size_and_by_buffer_size(cmbench, draw):
    for size, accuracy in ((32, 91.0), (256, 89.0)):
        store(cmbench.folder, f"figure10_cifar10_b{size}", lambda spec: {}, lambda spec, a=accuracy: a)
    store(cmbench.folder, "figure9_cifar100", lambda spec: {}, lambda spec: spec.optimizer.hyperparameters["capacity"])
    left, right = (axes.containers[0].lines[0] for axes in draw(10).axes)
    assert left.get_xydata().tolist() == [[32, 91], [256, 89]]
    assert right.get_xydata().tolist() == [[c, c] for c in (1, 5, 10, 20)]


def test_figure_19_has_m_sharpness_and_a_panel_per_data_set(cmbench, draw):
    for name, value in (("figure19_cifar10", 1.0), ("figure19_cifar100", 2.0)):
        store(cmbench.folder, name, lambda spec, value=value: {"m_sharpness": [value, value + spec.seed]})
    for axes, value, data in zip(draw(19).axes, (1.0, 2.0), ("cifar10 ", "cifar100 "), strict=True):
        assert data in axes.get_title()
        assert [value, value + 0.5] in [line.get_ydata().tolist() for line in axes.lines]


def test_figure_20_has_sharpness_by_learning_rate(cmbench, draw):
    store(cmbench.folder, "table14", lambda spec: {"top_eigenvalue": [None, 1 / spec.optimizer.hyperparameters["lr"]]})
    (axes,) = draw(20).axes
    np.testing.assert_allclose(axes.containers[0].lines[0].get_xydata(), [[1e-4, 1e4], [1e-3, 1e3], [1e-2, 1e2]])


def test_results_without_what_a_figure_shows_give_none(cmbench):
    store(cmbench.folder, "table14", lambda spec: {})
    assert "figure:" not in cmbench("report", "--figure", 20, "--plot", "figures", code=4).stderr
    assert not (cmbench.folder / "figures").exists()
