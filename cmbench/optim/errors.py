"""The error of an optimizer that a model cannot be trained with, which somebody else has written."""


class UnfitOptimizer(RuntimeError):
    """It does not take the model's parameters, or breaks them; the message says all that there is to know."""
