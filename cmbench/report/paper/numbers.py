"""The numbers that the paper prints in its tables, so that a measured value can stand beside the published one.

Source: "Promoting Exploration in Memory-Augmented Adam using Critical Momenta", Tables 1 to 7 and 14. Spreads are the
paper's own (over five seeds where it says so); `None` stands where none can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PaperValue:
    """One published number: where it stands, whose it is, what it measures.

    `metric` is the name that results use for the same quantity. `hyperparameters` holds those that the table gives in
    columns of its own (Tables 5 and 14); elsewhere the paper reports the best of a search, and it is empty.
    `place` says where the number is printed when that is not the table itself.
    """

    table: int
    column: str
    optimizer: str
    metric: str
    value: float
    spread: float | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    place: str | None = None


def _table(table: int, column: str, metric: str, values: Mapping[str, tuple[float, ...]]) -> list[PaperValue]:
    return [
        PaperValue(table, column, optimizer, metric, value, spread[0] if spread else None)
        for optimizer, (value, *spread) in values.items()
    ]


def _toy(
    table: int, column: str, optimizer: str, loss: float, sharpness: float, **hyperparameters: float
) -> list[PaperValue]:
    return [
        PaperValue(table, column, optimizer, "loss_final", loss, None, hyperparameters),
        PaperValue(table, column, optimizer, "sharpness", sharpness, None, hyperparameters),
    ]


VALUES: tuple[PaperValue, ...] = (
    # Table 1: loss and sharpness on toy surfaces, means over 20 starts. Columns are named like our surfaces.
    *_toy(1, "goldstein_price", "adam", 0.86, 1.49),
    *_toy(1, "goldstein_price", "adam_sam", 3.14, 1.43),
    *_toy(1, "goldstein_price", "adam_cg", 0.85, 1.51),
    *_toy(1, "goldstein_price", "adam_cm", 0.81, 1.36),
    *_toy(1, "levy", "adam", 13.87, 65.65),
    *_toy(1, "levy", "adam_sam", 13.87, 65.62),
    *_toy(1, "levy", "adam_cg", 13.61, 64.45),
    *_toy(1, "levy", "adam_cm", 12.50, 62.53),
    # Table 2: best validation perplexity, best validation accuracy in percent.
    *_table(
        2,
        "ptb",
        "val_perplexity_best",
        {
            "adam": (179.4, 2.8),
            "adam_cg": (174.4, 5.5),
            "adam_sam": (168.7, 1.9),
            "adam_cm": (163.2, 5.5),
            "adam_sam_cm": (176.2, 5.7),
        },
    ),
    *_table(
        2,
        "cifar10",
        "val_accuracy_best",
        {
            "adam": (93.9, 0.3),
            "adam_cg": (93.8, 0.4),
            "adam_sam": (93.7, 0.3),
            "adam_cm": (94.0, 0.3),
            "adam_sam_cm": (94.4, 0.4),
        },
    ),
    PaperValue(2, "cifar10", "adam_meg", "val_accuracy_best", 93.8, 0.3, place="the text of Appendix A.2.1"),
    *_table(
        2,
        "cifar100",
        "val_accuracy_best",
        {
            "adam": (70.7, 0.3),
            "adam_cg": (71.0, 0.3),
            "adam_sam": (70.5, 0.4),
            "adam_cm": (71.2, 0.3),
            "adam_sam_cm": (69.7, 0.3),
        },
    ),
    *_table(
        2,
        "imagenet",
        "val_accuracy_best",
        {
            "adam": (67.8, 0.1),
            "adam_cg": (69.7, 0.1),
            "adam_sam": (65.4, 0.2),
            "adam_cm": (71.7, 0.2),
            "adam_sam_cm": (71.3, 0.2),
        },
    ),
    # Table 3: best validation accuracy in percent, and speed-up over SGD in the first 50 epochs.
    *_table(3, "cifar10", "val_accuracy_best", {"sgd": (93.0, 0.4), "sgd_cg": (93.1, 0.4), "sgd_cm": (93.1, 0.1)}),
    *_table(3, "cifar100", "val_accuracy_best", {"sgd": (69.6, 0.7), "sgd_cg": (69.6, 0.3), "sgd_cm": (69.6, 0.7)}),
    *_table(3, "cifar10", "speed_up", {"sgd": (1.0,), "sgd_cg": (1.2,), "sgd_cm": (1.3,)}),
    *_table(3, "cifar100", "speed_up", {"sgd": (1.0,), "sgd_cg": (1.2,), "sgd_cm": (1.2,)}),
    # Table 4: learning accuracy in percent. In our copy of the paper the last two spreads of 5-dataset run together
    # into a single ±0.5, which cannot be given to one of them.
    *_table(
        4,
        "tinyimagenet",
        "learning_accuracy",
        {
            "adam": (62.9, 0.4),
            "adam_cg": (62.8, 0.1),
            "adam_sam": (62.8, 0.4),
            "adam_cm": (63.4, 0.1),
            "adam_sam_cm": (63.9, 0.7),
        },
    ),
    *_table(
        4,
        "5-dataset",
        "learning_accuracy",
        {
            "adam": (88.2, 0.5),
            "adam_cg": (88.2, 0.5),
            "adam_sam": (88.3, 1.0),
            "adam_cm": (88.4,),
            "adam_sam_cm": (88.5,),
        },
    ),
    # Table 5: Levy, by buffer capacity C and decay λ.
    *_toy(5, "levy", "adam_cg", 14.40, 64.72, capacity=5, decay=0.7),
    *_toy(5, "levy", "adam_cg", 14.41, 64.67, capacity=5, decay=0.99),
    *_toy(5, "levy", "adam_cg", 13.61, 64.45, capacity=20, decay=0.99),
    *_toy(5, "levy", "adam_cm", 12.90, 63.74, capacity=5, decay=0.7),
    *_toy(5, "levy", "adam_cm", 13.02, 63.83, capacity=5, decay=0.99),
    *_toy(5, "levy", "adam_cm", 12.50, 62.53, capacity=20, decay=0.99),
    # Table 14: best validation accuracy of Adam in percent, by learning rate.
    PaperValue(14, "cifar10", "adam", "val_accuracy_best", 93.5, 0.3, {"lr": 0.01}),
    PaperValue(14, "cifar10", "adam", "val_accuracy_best", 93.7, 0.2, {"lr": 0.001}),
    PaperValue(14, "cifar10", "adam", "val_accuracy_best", 93.4, 0.2, {"lr": 0.0001}),
)


@dataclass(frozen=True)
class SpeedUp:
    """What the speed-up in a table of the paper is measured against, and within how many epochs."""

    over: str
    epochs: int


SPEED_UPS: Mapping[int, SpeedUp] = {3: SpeedUp(over="sgd", epochs=50)}
"""The tables that print a speed-up (metric `speed_up`), by number. Source: section 5.3."""
