"""The figures: a module for each kind, what they share, and the choice among them."""
