"""From stored results to the paper's tables: its numbers as data, statistics, rendering."""
