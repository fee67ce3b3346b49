"""The settings that the paper prints: sizes of data and models, what it searched, what it found best.

Source: "Promoting Exploration in Memory-Augmented Adam using Critical Momenta", Tables 6 to 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIZES: Mapping[str, tuple[int, int]] = {
    "ptb": (890_000, 70_000),
    "cifar10": (40_000, 10_000),
    "cifar100": (40_000, 10_000),
    "imagenet": (1_281_000, 50_000),
}
"""Table 6: training and validation examples (words of PTB), as rounded there, by workload."""

PARAMETERS: Mapping[str, tuple[str, int]] = {
    "ptb": ("LSTM", 20_000),
    "cifar10": ("ResNet34", 22_000_000),
    "imagenet": ("EfficientNet-B0", 5_300_000),
}
"""Table 7: the model and its number of parameters, as rounded there, by workload."""

GRIDS: Mapping[int, Mapping[str, tuple[float, ...]]] = {
    8: {
        "lr": (0.1, 0.01, 0.001, 0.0001),
        "beta1": (0.9, 0.99, 0.999),
        "beta2": (0.99, 0.999, 0.9999),
        "capacity": (5, 20),
        "decay": (0.7, 0.99),
        "rho": (0.01, 0.05, 0.1),
    },
    12: {
        "lr": (0.01, 0.001, 0.0001, 0.00001),
        "beta1": (0.9, 0.99),
        "beta2": (0.99, 0.999, 0.9999),
    },
}
"""Tables 8 and 12: the values tried of each hyperparameter."""


def _adam(lr: float, beta1: float, beta2: float, **others: float) -> dict[str, Any]:
    return {"lr": lr, "betas": (beta1, beta2), **others}


def _memory(lr: float, beta1: float, beta2: float, capacity: int, decay: float, **others: float) -> dict[str, Any]:
    return _adam(lr, beta1, beta2, capacity=capacity, decay=decay, **others)


_TOY: Mapping[str, dict[str, Any]] = {
    "adam": _adam(0.1, 0.9, 0.99),
    "adam_cg": _memory(0.1, 0.9, 0.99, 5, 0.7),
    "adam_sam": _adam(0.1, 0.9, 0.99, rho=0.01),
    "adam_cm": _memory(0.1, 0.9, 0.999, 20, 0.99),
    "adam_sam_cm": _memory(0.1, 0.9, 0.999, 20, 0.99, rho=0.05),
}

BEST: Mapping[int, Mapping[str, Mapping[str, dict[str, Any]]]] = {
    9: {
        "ptb": {
            "adam": _adam(0.001, 0.9, 0.99),
            "adam_cg": _memory(0.001, 0.9, 0.999, 5, 0.7),
            "adam_sam": _adam(0.001, 0.9, 0.9, rho=0.01),
            "adam_cm": _memory(0.001, 0.9, 0.999, 5, 0.7),
            "adam_sam_cm": _memory(0.001, 0.9, 0.999, 5, 0.7, rho=0.1),
        },
    },
    10: {
        "cifar10": {
            "adam": _adam(0.001, 0.9, 0.999),
            "adam_cg": _memory(0.0001, 0.9, 0.999, 20, 0.7),
            "adam_sam": _adam(0.0001, 0.9, 0.99, rho=0.05),
            "adam_cm": _memory(0.0001, 0.9, 0.999, 5, 0.7),
            "adam_sam_cm": _memory(0.0001, 0.9, 0.99, 5, 0.7, rho=0.05),
        },
        "cifar100": {
            "adam": _adam(0.001, 0.9, 0.99),
            "adam_cg": _memory(0.001, 0.9, 0.99, 20, 0.7),
            "adam_sam": _adam(0.001, 0.9, 0.999, rho=0.05),
            "adam_cm": _memory(0.001, 0.9, 0.9999, 5, 0.7),
            "adam_sam_cm": _memory(0.001, 0.9, 0.99, 5, 0.7, rho=0.1),
        },
        "imagenet": {
            "adam": _adam(0.0001, 0.9, 0.99),
            "adam_cg": _memory(0.0001, 0.9, 0.99, 5, 0.7),
            "adam_sam": _adam(0.0001, 0.9, 0.99, rho=0.05),
            "adam_cm": _memory(0.0001, 0.9, 0.99, 5, 0.7),
            "adam_sam_cm": _memory(0.0001, 0.9, 0.99, 5, 0.7, rho=0.05),
        },
    },
    11: {"figure14": _TOY, "ackley": _TOY},
    13: {
        "tinyimagenet_online": {
            "adam": _adam(0.0001, 0.9, 0.999),
            "adam_cg": _adam(0.0001, 0.9, 0.999),
            "adam_sam": _adam(0.0001, 0.9, 0.9999),
            "adam_cm": _adam(0.0001, 0.9, 0.9999),
            "adam_sam_cm": _adam(0.0001, 0.9, 0.99),
        },
        "five_datasets_online": {
            "adam": _adam(0.0001, 0.9, 0.999),
            "adam_cg": _adam(0.0001, 0.9, 0.999),
            "adam_sam": _adam(0.001, 0.9, 0.999),
            "adam_cm": _adam(0.001, 0.9, 0.9999),
            "adam_sam_cm": _adam(0.00001, 0.9, 0.999),
        },
    },
}
"""Tables 9, 10, 11 and 13: the best settings found, by suite and optimizer. Table 11's columns are Goldstein-Price and
Ackley, here by a suite on each."""
