"""Figures show what results hold: in the paper's arrangement, in every file format, with a caption that says what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_convergence, plan_landscapes
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.choice import draw
from cmbench.report.figures.drawing import View, checked_path, save, styles
from cmbench.report.statistics import wilson_interval
from tests.report.results import result_of

STARTS, RECORDS = 3, 5


def views(settings):
    """A bowl stands for every surface: drawing needs a function, whichever."""
    return View(lambda x: (x**2).sum(-1), (0.0,) * settings["dim"])


def results_of(name, sets=()):
    """Results of every cell of a suite whose paths run straight to the origin."""
    suite = load_suite(name, sets=sets)
    results = []
    for i, spec in enumerate(plan_landscapes(suite)):
        dim = spec.settings.dim
        starts = np.linspace(1, 2, STARTS)[:, None, None] * np.ones(dim)
        paths = starts * np.linspace(1, 0, RECORDS)[:, None]
        lanes = {"loss_final": [0.1 * i] * STARTS, "sharpness": [1.0, 2.0, 3.0], "cancellation": [0.5, 0.5, 0.2]}
        lanes |= {"escaped_all": [i % 2 == 0, False, True], "escaped_nearer": [True] * STARTS}
        lanes |= {"escaped_reached": [False] * STARTS, "reached_global": [i > 2, False, i > 2]}
        curves = {
            "step": list(range(RECORDS)),
            "loss_mean": [5.0, 4, 3, 2, 1],
            "loss_q25": [4.0, 3, 2, 1, 0],
            "loss_q75": [7.0, 6, 5, 4, 3],
            "trajectory": paths.tolist(),
        }
        if getattr(spec.settings, "trace", ()) and "c" in spec.optimizer.name:
            curves["trace"] = [
                {
                    "step": step,
                    "lane": 0,
                    "position": [1.0 + step / 100, 1.0],
                    "entries": [[1.0, 0.0], [0.0, 1.0]],
                    "mean": [0.5, 0.5],
                    "new": [-0.5, -0.5],
                    "cancellation": 1.0,
                }
                for step in spec.settings.trace
            ]
        results.append(result_of(spec, lanes=lanes, curves=curves))
    return results, suite


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize(
    ("suite", "count"),
    [
        ("figure1", 1),
        ("figure2", 2),
        ("ackley", 2),
        ("figure5", 3 * 9),
        ("escape_10d", 3),
        ("figure7_right", 3),
        ("figure11", 2 * 3),
        ("figure12", 2 * 6),
        ("figure13", STARTS),
        ("figure15", 2 * STARTS),
        ("figure16", 2),
        ("figure17", 9 * 6),
        ("table1", 2),
        ("table5", 1),
        ("levy", 2),
        ("gallery", 10),
    ],
)
def test_each_suite_has_the_panels_of_its_figure_and_says_which_it_is(suite, count):
    results, resolved = results_of(suite)
    figure = draw(results, resolved, views)
    assert len(panels(figure)) == count
    text = " ".join(figure.get_supxlabel().split())
    assert f"Suite {suite}:" in text
    assert f"{resolved.settings.steps} steps" in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_results_give_the_same_file(tmp_path, suffix):
    results, suite = results_of("ackley")
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for file in files:
        save(draw(results, suite, views), file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])


def test_backgrounds_and_words_of_the_grid_say_who_escaped():
    results, suite = results_of("figure5")
    found = [{t.get_text() for t in axes.texts} & {"escaped", "stuck"} for axes in panels(draw(results, suite, views))]
    said = [words.pop() for words in found]
    assert said.count("escaped") == sum(sum(result.lanes["escaped_all"]) for result in results)
    assert len(said) == sum(len(result.lanes["escaped_all"]) for result in results)


def test_bars_of_escape_ratios_are_wilson_intervals():
    results, suite = results_of("figure7_right")
    axes = panels(draw(results, suite, views))[0]
    first = axes.containers[0]
    bottoms = [segment[0][1] for segment in first.lines[2][0].get_segments()]
    own = [result for result in results if result.optimizer.label == results[0].optimizer.label]
    assert bottoms == pytest.approx([wilson_interval(sum(r.lanes["escaped_all"]), STARTS)[0] for r in own])


def test_convergence_is_drawn_as_one_minus_rho():
    suite = load_suite("convergence")
    results = [
        result_of(s, curves={"condition_number": [1, 10], "rate": [0.5, 0.9], "rate_simulated": [0.5, 0.9]})
        for s in plan_convergence(suite)
    ]
    (axes,) = panels(draw(results, suite, views))
    assert axes.lines[0].get_ydata() == pytest.approx([0.5, 0.1])
    assert [line.get_linestyle() for line in axes.lines[::2]][:4] == ["-", "--", "-", "--"]


def test_a_given_start_is_labelled_and_the_caption_counts_the_starts_that_look_like_it():
    results, suite = results_of("figure14")
    reached = {"adam": [False, True, False], "adam_sam": [False] * 3, "adam_cg": [False] * 3}
    results = [
        r.model_copy(
            update={"lanes": r.lanes | {"reached_global": reached.get(r.optimizer.label, [True, False, True])}}
        )
        for r in results
    ]
    figure = draw(results, suite, views)
    text = " ".join(figure.get_supxlabel().split())
    assert "From 2 of 3 starts Adam+CM ends at the global minimum and not Adam, Adam+SAM or Adam+CG" in text
    assert "(A is one of them); from 1 it is the other way round" in text
    assert [[t.get_text() for t in axes.texts] for axes in panels(figure)] == [["A"], [], []]
    assert panels(figure)[0].get_title() == "given start A"


def test_bands_of_losses_are_quartiles():
    results, suite = results_of("levy")
    axes = panels(draw(results, suite, views))[0]
    ends = axes.collections[0].get_paths()[0].vertices
    assert (ends[:, 1].min(), ends[:, 1].max()) == (0.0, 7.0)


def test_a_surface_of_many_dimensions_gets_its_losses_alone():
    results, suite = results_of("levy", ["dim=3"])
    assert len(panels(draw(results, suite, views))) == 1


def test_optimizers_have_their_own_colour_and_variants_their_own_dashes():
    results, _ = results_of("escape_10d")
    look = styles(results)
    assert look["adam_cm C=5"].colour == look["adam_cm C=20"].colour
    assert look["adam_cm C=5"].dashes != look["adam_cm C=20"].dashes
    assert len({style.colour for style in look.values()}) == 4


def test_a_folder_gets_a_png_named_like_the_suite_and_other_files_are_refused(tmp_path):
    assert checked_path(tmp_path, "levy") == tmp_path / "levy.png"
    assert checked_path(Path("new"), "levy") == Path("new/levy.png")
    assert checked_path(Path("a.svg"), "levy") == Path("a.svg")
    with pytest.raises(UserError, match=r"--plot a\.gif: accepted: a folder, or a file that ends in \.png"):
        checked_path(Path("a.gif"), "levy")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder"):
        checked_path(tmp_path / "file" / "a.png", "levy")
