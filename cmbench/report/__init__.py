"""From stored results to the paper's tables: its numbers as data, statistics, rendering."""

from cmbench.report.collect import collect
from cmbench.report.records import Cell, Column, Row, Runs, Table
from cmbench.report.render import FORMATS, Format, render
from cmbench.report.tables import build_tables

__all__ = ["FORMATS", "Cell", "Column", "Format", "Row", "Runs", "Table", "build_tables", "collect", "render"]
