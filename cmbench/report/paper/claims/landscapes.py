"""What the paper says about optimizers on analytic surfaces."""

from __future__ import annotations

from typing import Any

from cmbench.report.paper.claims.record import Claim, Of, Order, Place, Relation

_ADAM, _SAM, _CG, _CM, _SAM_CM, _MEG = (
    Of(name) for name in ("adam", "adam_sam", "adam_cg", "adam_cm", "adam_sam_cm", "adam_meg")
)
_CM_OVER_BASELINES: Order = ((_CM,), (_ADAM, _SAM, _CG))
_CM_OVER_CG: Order = ((_CM,), (_CG,))


def _by_capacity(name: str) -> Order:
    return tuple((Of(name, {"capacity": capacity}),) for capacity in (20, 10, 5))


def _figure(
    number: int, name: str, text: str, metric: str, relation: Relation, order: Order, suite: str = "", **options: Any
) -> Claim:
    return Claim(name, Place("figure", number), text, suite or f"figure{number}", metric, relation, order, **options)


def _table1(surface: str, name: str, text: str, metric: str, order: Order) -> Claim:
    return Claim(name, Place("table", 1), text, "table1", metric, "lower", order, surface=surface)


def _table5(name: str, text: str, metric: str, order: Order) -> Claim:
    return Claim(name, Place("table", 5), text, "table5", metric, "lower", order)


def _figure1(number: int, where: str) -> tuple[Claim, ...]:
    """What Figures 1, 13 and 14 show alike; "reach the global minimum" is read in two ways."""
    return (
        _figure(number, "cm-lower-loss", f"{where}, Adam+CM ends at a lower loss than the others",
                "loss_final", "lower", _CM_OVER_BASELINES),
        _figure(number, "cm-ends-global", f"{where}, more starts of Adam+CM end at the global minimum than of the "
                "others", "reached_global", "higher", _CM_OVER_BASELINES),
        _figure(number, "cm-ever-global", f"{where}, more starts of Adam+CM are ever at the global minimum than "
                "of the others", "ever_reached", "higher", _CM_OVER_BASELINES),
    )  # fmt: skip


def _sensitivity(number: int, decay: str) -> Claim:
    """What Figures 17 and 18 show, each with its decay, over the three coefficients together."""
    return _figure(
        number, "cm-over-cg", f"over s = 5, 10 and 100, with {decay} and C = 5, 10 and 20, Adam+CM ends in the flat "
        "basin more often than Adam+CG with the same C", "escaped_all", "higher", _CM_OVER_CG, matched="capacity",
        coefficients=(5, 10, 100), pooled=True,
    )  # fmt: skip


_CM_20, _CG_20 = (Of(name, {"capacity": 20, "decay": 0.99}) for name in ("adam_cm", "adam_cg"))
_CM_5 = Of("adam_cm", {"capacity": 5, "decay": 0.99})

CLAIMS: tuple[Claim, ...] = (
    _table1("goldstein_price", "cm-lowest-loss", "Adam+CM ends at the lowest loss", "loss_final", _CM_OVER_BASELINES),
    _table1("goldstein_price", "cm-flattest", "Adam+CM ends at the lowest sharpness", "sharpness", _CM_OVER_BASELINES),
    _table1("goldstein_price", "sam-highest-loss", "Adam+SAM ends at a higher loss than the others",
            "loss_final", ((_ADAM, _CG, _CM), (_SAM,))),
    _table1("goldstein_price", "sam-flatter", "Adam+SAM ends at a lower sharpness than Adam and Adam+CG",
            "sharpness", ((_SAM,), (_ADAM, _CG))),
    _table1("levy", "cm-lowest-loss", "Adam+CM ends at the lowest loss", "loss_final", _CM_OVER_BASELINES),
    _table1("levy", "cm-flattest", "Adam+CM ends at the lowest sharpness", "sharpness", _CM_OVER_BASELINES),
    Claim("sam-like-adam-loss", Place("table", 1), "Adam and Adam+SAM end at almost equal losses (within 2 %)",
          "table1", "loss_final", "equal", ((_SAM,), (_ADAM,)), surface="levy", relative_margin=0.02),
    Claim("sam-like-adam-sharpness", Place("table", 1),
          "Adam and Adam+SAM end at almost the same sharpness (within 2 %)", "table1",
          "sharpness", "equal", ((_SAM,), (_ADAM,)), surface="levy", relative_margin=0.02),
    _table5("larger-buffer-deeper", "a larger buffer makes Adam+CM end at a lower loss", "loss_final",
            ((_CM_20,), (_CM_5,))),
    _table5("larger-buffer-flatter", "a larger buffer makes Adam+CM end at a lower sharpness", "sharpness",
            ((_CM_20,), (_CM_5,))),
    _table5("cm-deeper-than-cg", "Adam+CM ends at a lower loss than Adam+CG, whatever their buffers", "loss_final",
            _CM_OVER_CG),
    _table5("cm-flatter-than-cg", "Adam+CM ends at a lower sharpness than Adam+CG, whatever their buffers",
            "sharpness", _CM_OVER_CG),
    *_figure1(1, "on Goldstein-Price"),
    _figure(2, "cg-cancels", "in the first ten steps on Ackley, the gradients in Adam+CG's buffer cancel more than the "
            "momenta in Adam+CM's", "cancellation", "higher", ((_CG,), (_CM,))),
    _figure(2, "cm-global", "on Ackley, more starts of Adam+CM than of Adam+CG end at the global minimum",
            "reached_global", "higher", _CM_OVER_CG),
    Claim("converges", Place("figure", 3), "critical momenta converge on quadratics of every condition number shown, "
          "whether β is optimised or 0.9", "convergence", "rate", "below", (), margin=1.0),
    _figure(4, "cm-lower-loss", "on Ackley, Adam+CM and Adam+SAM+CM end at a lower loss than the others", "loss_final",
            "lower", ((_CM, _SAM_CM), (_ADAM, _SAM, _CG)), suite="ackley"),
    _figure(4, "cm-global", "on Ackley, more starts of Adam+CM and Adam+SAM+CM than of the others end at the global "
            "minimum", "reached_global", "higher", ((_CM, _SAM_CM), (_ADAM, _SAM, _CG)), suite="ackley"),
    _figure(5, "cm-over-cg", "over s = 5, 10 and 100, Adam+CM ends in the flat basin more often than Adam+CG",
            "escaped_all", "higher", _CM_OVER_CG, coefficients=(5, 10, 100), pooled=True),
    *(
        _figure(6, name, f"in ten dimensions and from s = 20 on, Adam+CM with C = 20 {does} than Adam, Adam+SAM and "
                "Adam+CG with C = 20", metric, "higher", ((_CM_20,), (_ADAM, _SAM, _CG_20)), suite="escape_10d",
                coefficients=(20, 50, 100))
        for name, metric, does in (
            ("cm-reaches", "escaped_reached", "reaches the flat minimum more often"),
            ("cm-nearer", "escaped_nearer", "ends nearer to it than to the sharp one (the figure's levels) more often"),
        )
    ),
    _figure(7, "cm-escapes", "in one dimension with C = 10 and from s = 5 on, Adam+CM reaches the flat minimum more "
            "often than the others", "escaped_reached", "higher", _CM_OVER_BASELINES, suite="escape_1d",
            coefficients=(5, 10, 20, 50, 100)),
    _figure(7, "cg-behind", "in one dimension, Adam+CG reaches the flat minimum less often than Adam and Adam+SAM at "
            "s = 50 and 100", "escaped_reached", "higher", ((_ADAM, _SAM), (_CG,)), suite="escape_1d",
            coefficients=(50, 100)),
    _figure(7, "capacity", "in one dimension and over all s, a larger C takes Adam+CM to the flat minimum more often",
            "escaped_reached", "higher", _by_capacity("adam_cm"), suite="figure7_right",
            coefficients=(2, 5, 10, 20, 50, 100), pooled=True),
    _figure(12, "cg-cancels", "on Goldstein-Price, the gradients in Adam+CG's buffer cancel more than the momenta in "
            "Adam+CM's", "cancellation", "higher", ((_CG,), (_CM,))),
    _figure(12, "cm-global", "on Goldstein-Price, more starts of Adam+CM than of Adam+CG end at the global minimum",
            "reached_global", "higher", _CM_OVER_CG),
    *_figure1(13, "on Ackley"),
    *_figure1(14, "on Goldstein-Price"),
    *(
        _figure(15, "cm-explores", f"on {title}, Adam+CM travels farther than Adam, Adam+SAM and Adam+MEG",
                "path_length", "higher", ((_CM,), (_ADAM, _SAM, _MEG)), surface=surface)
        for surface, title in (("ackley", "Ackley"), ("goldstein_price", "Goldstein-Price"))
    ),
    _figure(16, "cm-lower-loss", "on Ackley with a constant learning rate, Adam+CM and Adam+SAM+CM end at a lower loss "
            "than the others", "loss_final", "lower", ((_CM, _SAM_CM), (_ADAM, _SAM, _CG))),
    _sensitivity(17, "λ = 0.7"),
    _sensitivity(18, "λ = 0.99"),
)  # fmt: skip
