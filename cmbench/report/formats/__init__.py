"""How tables are printed: on a terminal, as Markdown, LaTeX, CSV and JSON; a module each."""
