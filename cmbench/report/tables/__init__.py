"""The tables: a module for each kind of run, with what they share beside."""
