"""The runs that tables are made of: what was planned and what was found, which belong together, in which order."""
