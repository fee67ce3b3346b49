"""Suites, planning, run identity and the result store: everything about a run except running it."""
