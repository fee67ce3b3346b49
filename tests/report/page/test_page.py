"""The page as a reader uses it: in a browser, without a network, by keyboard, on a phone, in the dark."""

import math
import re

import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.page.build import render_page
from cmbench.report.tables.build import grouped_tables
from tests.report.page.conftest import ENDING, HOSTILE
from tests.report.results import DATA, sharpness_of, trained


def draw_all(page):
    for figure in page.locator("figure[data-figure]").all():
        figure.scroll_into_view_if_needed()
        figure.locator(".plot .main-svg").first.wait_for()


def section(page, name):
    return page.locator("section", has=page.locator("h2", has_text=re.compile(f"^{re.escape(name)}$")))


def column(table, number):
    return table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def ends(figure):
    """The last horizontal positions of a figure's lines."""
    return figure.locator(".plot").evaluate("plot => plot.data.filter(t => t.name).map(t => t.x.at(-1))")


def test_opens_and_draws_everything_without_a_request_or_a_complaint(opened, file):
    page = opened(file)
    draw_all(page)
    assert page.locator("figure[data-figure]").count() == 3  # curves of two suites, paths on one surface
    assert [url for url in page.seen.requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert page.seen.complaints == []


def test_figures_are_drawn_when_they_come_into_view(opened, file):
    page = opened(file)
    last = page.locator("figure[data-figure]").last
    page.wait_for_timeout(300)
    assert last.locator(".main-svg").count() == 0
    last.scroll_into_view_if_needed()
    last.locator(".main-svg").first.wait_for()


def test_every_script_but_the_pages_own_is_forbidden(opened, file):
    page = opened(file)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in page.seen.complaints)


def test_a_column_is_sorted_by_its_numbers_up_down_and_back_by_keyboard(opened, file):
    page = opened(file)
    table = section(page, "ackley").locator("table").first
    header = table.locator("thead th", has_text="path length")
    number = table.locator("thead th").all_inner_texts().index("path length") + 1
    original = column(table, 1)
    found = []
    for state in ("ascending", "descending", None):
        header.locator("button").press("Enter")
        assert header.get_attribute("aria-sort") == state
        found.append([float(text.split()[0].replace(",", "")) for text in column(table, number)])
    assert found[0] == sorted(found[0]) != found[2]
    assert found[1] == sorted(found[0], reverse=True)
    assert column(table, 1) == original
    assert len(set(found[0])) > 1


def test_the_filter_leaves_rows_and_sections_that_have_every_word(opened, file):
    page = opened(file)
    page.locator("#filter").fill("ackley cm")
    visible = [row for row in page.locator("main tbody tr").all() if row.is_visible()]
    assert [row.locator("th").inner_text() for row in visible] == ["Adam+CM", "Adam+SAM+CM"]
    assert not section(page, "digits").is_visible()
    claims = len([row for row in page.locator("li[data-row]").all() if row.is_visible()])
    assert page.locator("#filtered").inner_text().startswith(f"{2 + claims} of ")
    page.locator("#filter").fill("")
    assert section(page, "digits").is_visible()


def test_the_horizontal_axis_counts_epochs_steps_gradients_or_seconds(opened, file, results):
    page = opened(file)
    figure = section(page, "digits").locator("figure")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    runs = [r for r in results.results() if r["suite"]["name"] == "digits" and r["seed"] == 0]
    cost = {run["optimizer"]["label"]: run["cost"] for run in runs}
    assert ends(figure) == [2, 2]
    for name, key in (("steps", "steps"), ("gradient evaluations", "gradient_evaluations")):
        figure.get_by_label(name, exact=True).check()
        assert ends(figure) == [cost["adam"][key], cost["adam_sam"][key]]
    assert cost["adam_sam"]["gradient_evaluations"] == 2 * cost["adam_sam"]["steps"]
    figure.get_by_label("seconds").check()
    assert all(0 < end < 100 for end in ends(figure))


def test_another_quantity_is_drawn_as_mean_over_seeds(opened, file, results):
    page = opened(file)
    figure = section(page, "digits").locator("figure")
    figure.scroll_into_view_if_needed()
    figure.get_by_label("Quantity").select_option("train_loss")
    drawn = figure.locator(".plot").evaluate("plot => plot.data.filter(t => t.name === 'Adam').map(t => t.y)[0]")
    curves = [r["curves"]["train_loss"] for r in results.results()
              if (r["suite"]["name"], (r["optimizer"] or {}).get("label")) == ("digits", "adam")]  # fmt: skip
    assert len(curves) == 2
    assert drawn == pytest.approx([sum(values) / 2 for values in zip(*curves, strict=True)], rel=1e-4)


def test_a_trajectory_is_played_paused_and_moved_by_keyboard(opened, file):
    page = opened(file)
    figure = section(page, "ackley").locator("figure")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    length = "plot => plot.data.filter(t => t.mode === 'lines').map(t => t.x.length)[0]"
    assert figure.locator("output").inner_text() == "40 of 40"
    whole = figure.locator(".plot").evaluate(length)
    figure.get_by_role("button", name="Play").press("Enter")
    page.wait_for_timeout(300)
    figure.get_by_role("button", name="Pause").press("Enter")
    played = figure.locator(".plot").evaluate(length)
    assert 1 < played < whole
    figure.get_by_label("Step").press("ArrowRight")
    assert figure.locator(".plot").evaluate(length) == played + 1


def test_a_path_ends_where_the_run_did(opened, file, results):
    page = opened(file)
    figure = section(page, "ackley").locator("figure")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    figure.get_by_role("combobox").select_option("1")
    drawn = figure.locator(".plot").evaluate(
        "plot => plot.data.filter(t => t.mode === 'lines').map(t => [t.x.at(-1), t.y.at(-1)])"
    )
    paths = {r["optimizer"]["label"]: r["curves"]["trajectory"][1][-1] for r in results.results()
             if r["suite"]["name"] == "ackley"}  # fmt: skip
    assert len(drawn) == 5
    for shown, stored in zip(sorted(drawn), sorted(paths.values()), strict=True):
        assert shown == pytest.approx(stored, rel=1e-3)


def test_details_hold_the_command_the_environment_and_every_run(opened, file):
    page = opened(file)
    opener = section(page, "digits").get_by_role("button", name="Adam+SAM", exact=True)
    opener.press("Enter")
    dialog = page.locator("#details")
    assert dialog.locator("pre").inner_text() == (
        "cmbench train --suite digits --opt adam_sam --seeds 2 --set epochs=2 --set 'schedule.milestones=[1]'"
    )
    told = dialog.inner_text()
    assert all(word in told for word in ("torch", "threads", "device", "seed 0", "seed 1", "completed", "rho"))
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert opener.evaluate("button => document.activeElement === button")


def test_labels_that_are_markup_stay_text(opened, file):
    page = opened(file)
    draw_all(page)
    mine = section(page, "mine")
    shown = " ".join(mine.locator("tbody th").all_inner_texts())
    assert HOSTILE in shown
    assert ENDING in shown
    mine.locator("button.open").first.click()
    assert HOSTILE in page.locator("#details").inner_text()
    assert page.locator("main img, #details img, main b").count() == 0
    assert HOSTILE in " ".join(mine.locator(".legend label").all_inner_texts())
    assert page.seen.complaints == []


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "light"), (360, "dark"), (768, "light"), (1280, "light"), (1280, "dark")]
)
def test_fits_its_width_and_breaks_no_rule_of_axe(opened, file, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here to ask").Axe()
    page = opened(file, width, color_scheme=scheme)
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    closed = axe.run(page)
    page.locator("button.open").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    told = axe.run(page)
    assert closed.violations_count + told.violations_count == 0, closed.generate_report() + told.generate_report()
    assert page.seen.complaints == []


def test_figures_follow_when_the_scheme_changes(opened, file):
    page = opened(file, color_scheme="light")
    draw_all(page)
    ink = "document.querySelector('.plot').layout.font.color"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate(ink) != light


def test_what_is_printed_has_no_controls_and_every_figure(opened, file):
    page = opened(file)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert not page.locator("#filter").is_visible()
    assert page.locator("figure .main-svg").count() >= 3
    assert all(details.get_attribute("open") is not None for details in page.locator("main details").all())


def test_spectra_are_drawn_on_a_logarithmic_axis(opened, tmp_path):
    spec = plan_training(load_suite("digits"), DATA)[0]
    result = trained(spec, 90.0)
    nodes = {"nodes": [-0.2, 0.0, 8.0], "weights": [0.01, 0.9, 0.09]}
    measured = sharpness_of(result, 0.01, metric="spectrum").model_copy(update={"curves": nodes})
    html = render_page(grouped_tables([result]), [], lambda settings: None, measured=[measured])
    (tmp_path / "spectra.html").write_text(html)
    page = opened(tmp_path / "spectra.html")
    draw_all(page)
    plot = page.locator("figure", has_text="Spectrum").locator(".plot")
    kind, at, density = plot.evaluate("plot => [plot.layout.yaxis.type, plot.data[0].x, plot.data[0].y]")
    assert kind == "log"
    peaks = [max(y or 0 for x, y in zip(at, density, strict=True) if abs(x - node) < 0.02) for node in nodes["nodes"]]
    height = 200 / 8.2 / math.sqrt(2 * math.pi)
    assert peaks == pytest.approx([height * weight for weight in nodes["weights"]], rel=0.05)
    assert page.seen.complaints == []
