"""From stored results to the paper's tables and figures: what a notebook or a command calls.

results = report.load_results("results", ["digits"])
print(report.render(report.tables(results), "markdown"))
"""

from cmbench.report.asked import Asked, ask
from cmbench.report.columns import COLUMNS
from cmbench.report.figures.choice import draw
from cmbench.report.figures.drawing import View, save
from cmbench.report.figures.stored import StoredFigure, asked_figures, figures_of, figures_of_place
from cmbench.report.formats.choice import FORMATS, Format, render
from cmbench.report.formats.claims import render_claims
from cmbench.report.formats.explanation import explain
from cmbench.report.page.write import write_page
from cmbench.report.results import Results, load_results
from cmbench.report.table import Cell, Column, Difference, Row, RunCounts, Table
from cmbench.report.tables.build import tables
from cmbench.report.tables.places import missing_in, place_tables
from cmbench.report.verdicts.judge import Verdict, judge

# `tables` is the function; its modules are found by their own names: `from cmbench.report.tables.fill import …`.
__all__ = [
    "COLUMNS",
    "FORMATS",
    "Asked",
    "Cell",
    "Column",
    "Difference",
    "Format",
    "Results",
    "Row",
    "RunCounts",
    "StoredFigure",
    "Table",
    "Verdict",
    "View",
    "ask",
    "asked_figures",
    "draw",
    "explain",
    "figures_of",
    "figures_of_place",
    "judge",
    "load_results",
    "missing_in",
    "place_tables",
    "render",
    "render_claims",
    "save",
    "tables",
    "write_page",
]
