"""What the paper says about optimizers in the training of networks."""

from __future__ import annotations

from typing import Any

from cmbench.report.paper.claims.record import Claim, Of, Order, Place, Relation

_ADAM, _SAM, _CG, _CM, _SAM_CM, _MEG = (
    Of(name) for name in ("adam", "adam_sam", "adam_cg", "adam_cm", "adam_sam_cm", "adam_meg")
)
_SGD, _SGD_CG, _SGD_CM = (Of(name) for name in ("sgd", "sgd_cg", "sgd_cm"))
_SIMILAR = 0.5
"""Percentage points within which accuracies count as equal: about the spread that the paper prints for five seeds."""


def _table(
    number: int,
    column: str,
    name: str,
    text: str,
    order: Order,
    suite: str = "",
    metric: str = "val_accuracy_best",
    relation: Relation = "higher",
    **options: Any,
) -> Claim:
    place = Place("table", number)
    return Claim(name, place, text, suite or column, metric, relation, order, column=column, **options)


def _ptb(name: str, text: str, order: Order) -> Claim:
    return _table(2, "ptb", name, text, order, metric="val_perplexity_best", relation="lower")


def _table3(column: str) -> tuple[Claim, ...]:
    suite, order = f"{column}_sgd", ((_SGD_CG, _SGD_CM), (_SGD,))
    return (
        _table(3, column, "same-accuracy", f"SGD+CG and SGD+CM are as accurate as SGD (within {_SIMILAR} points)",
               order, suite, relation="equal", margin=_SIMILAR),
        _table(3, column, "sooner", "SGD+CG and SGD+CM get sooner to what SGD reaches in 50 epochs", order, suite,
               "speed_up"),
    )  # fmt: skip


def _table4(column: str, suite: str) -> tuple[Claim, ...]:
    metric = "learning_accuracy"
    return (
        _table(4, column, "sam-cm-best", "Adam+SAM+CM has the best learning accuracy",
               ((_SAM_CM,), (_ADAM, _CG, _SAM, _CM)), suite, metric),
        _table(4, column, "cm-over-baselines", "both optimizers with critical momenta have a better learning accuracy "
               "than those without", ((_CM, _SAM_CM), (_ADAM, _CG, _SAM)), suite, metric),
        _table(4, column, "sam-like-adam", f"Adam+SAM learns as accurately as Adam (within {_SIMILAR} points)",
               ((_SAM,), (_ADAM,)), suite, metric, "equal", margin=_SIMILAR),
    )  # fmt: skip


def _figure(
    number: int, name: str, text: str, suite: str, metric: str, relation: Relation, order: Order, **options: Any
) -> Claim:
    return Claim(name, Place("figure", number), text, suite, metric, relation, order, **options)


def _figure8(name: str, text: str, metric: str, relation: Relation, order: Order, **options: Any) -> Claim:
    return _figure(8, name, text, "figure8", metric, relation, order, **options)


_SIZES = tuple(Of("adam_cm", {"capacity": capacity}) for capacity in (20, 10, 5, 1))


def _by_dataset(column: str, title: str) -> tuple[Claim, ...]:
    """What Figures 9, 10 and 19 show on CIFAR-10 and CIFAR-100 alike."""
    best, *others = (_SIZES[2], _SIZES[0], _SIZES[1], _SIZES[3])
    batch = {size: Of("adam_cm", suite=f"figure10_{column}_b{size}") for size in (32, 64, 128, 256)}
    return (
        _figure(9, "larger-flatter", f"on {title}, the larger Adam+CM's buffer, the lower the sharpness at the end",
                f"figure9_{column}", "top_eigenvalue@end", "lower", tuple((size,) for size in _SIZES), column=column),
        _figure(10, "capacity-5-best", f"on {title}, Adam+CM is most accurate with C = 5 (here with Figure 9's "
                "settings for every size)", f"figure9_{column}",
                "val_accuracy_best", "higher", ((best,), tuple(others)), column=column),
        _figure(10, "batch-64-best", f"on {title}, Adam+CM is most accurate with batches of 64 (here with Table 10's "
                "settings for every size)", f"figure10_{column}_b64", "val_accuracy_best", "higher",
                ((batch[64],), (batch[32], batch[128], batch[256])), column=column),
        _figure(19, "cm-flatter", f"on {title}, Adam+CM ends at a lower m-sharpness than the others",
                f"figure19_{column}", "m_sharpness@end", "lower", ((_CM,), (_ADAM, _SAM, _CG)), column=column),
    )  # fmt: skip


_RATES = tuple(Of("adam", {"lr": lr}) for lr in (0.01, 0.001, 0.0001))

CLAIMS: tuple[Claim, ...] = (
    _ptb("cm-best", "Adam+CM reaches the best validation perplexity", ((_CM,), (_ADAM, _CG, _SAM, _SAM_CM))),
    _ptb("sam-second", "Adam+SAM reaches the second best: better than Adam, Adam+CG and its own variant with critical "
         "momenta", ((_SAM,), (_ADAM, _CG, _SAM_CM))),
    _table(2, "cifar10", "sam-cm-best", "Adam+SAM+CM reaches the best validation accuracy",
           ((_SAM_CM,), (_ADAM, _CG, _SAM, _CM))),
    _table(2, "cifar10", "cm-over-baselines", "Adam+CM is more accurate than Adam, Adam+CG and Adam+SAM",
           ((_CM,), (_ADAM, _CG, _SAM))),
    _table(2, "cifar100", "cm-best", "Adam+CM reaches the best validation accuracy",
           ((_CM,), (_ADAM, _CG, _SAM, _SAM_CM))),
    _table(2, "imagenet", "cm-best", "Adam+CM reaches the best validation accuracy",
           ((_CM,), (_ADAM, _CG, _SAM, _SAM_CM))),
    _table(2, "imagenet", "sam-cm-over-baselines", "Adam+SAM+CM is more accurate than Adam, Adam+CG and Adam+SAM",
           ((_SAM_CM,), (_ADAM, _CG, _SAM))),
    *_table3("cifar10"),
    *_table3("cifar100"),
    *_table4("tinyimagenet", "tinyimagenet_online"),
    *_table4("5-dataset", "five_datasets_online"),
    _table(14, "cifar10", "middle-rate-best", "Adam is more accurate with the learning rate 0.001 than with 0.01 and "
           "0.0001", ((_RATES[1],), (_RATES[0], _RATES[2])), "table14"),
    _figure8("cm-flatter", "Adam+CM ends at a lower sharpness than Adam, Adam+SAM and Adam+CG", "top_eigenvalue@end",
             "lower", ((_CM,), (_ADAM, _SAM, _CG))),
    _figure8("cm-farther", "Adam+CM and Adam+SAM+CM end farther from the start than the others", "distance", "higher",
             ((_CM, _SAM_CM), (_ADAM, _SAM, _CG))),
    _figure8("sam-as-far-as-adam", "Adam+SAM travels about as far as Adam (within 10 %)", "distance", "equal",
             ((_SAM,), (_ADAM,)), relative_margin=0.1),
    _figure8("sam-cm-as-far-as-cm", "Adam+SAM+CM travels about as far as Adam+CM (within 10 %)", "distance", "equal",
             ((_SAM_CM,), (_CM,)), relative_margin=0.1),
    _figure8("cm-less-variance", "the entries of Adam+CM's buffer vary less than those of Adam+CG's",
             "buffer_variance@mean", "lower", ((_CM,), (_CG,))),
    _figure8("cm-agrees", "the entries of Adam+CM's buffer agree more with each other than those of Adam+CG's",
             "buffer_agreement@mean", "higher", ((_CM,), (_CG,))),
    *_by_dataset("cifar10", "CIFAR-10"),
    *_by_dataset("cifar100", "CIFAR-100"),
    _figure(15, "cm-over-meg", "on CIFAR-10, Adam+CM and Adam+SAM+CM are more accurate than Adam+MEG", "cifar10",
            "val_accuracy_best", "higher", ((_CM, _SAM_CM), (_MEG,)), column="cifar10", printed_in=2),
    _figure(20, "higher-rate-flatter", "the higher Adam's learning rate, the lower the sharpness at the end", "table14",
            "top_eigenvalue@end", "lower", tuple((rate,) for rate in _RATES), column="cifar10"),
)  # fmt: skip
