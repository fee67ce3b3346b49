"""Optimizers that are not registered: imported, filled in, checked, and built like any other."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.errors import UserError
from cmbench.experiments.entries import OptimizerSpec, Wish
from cmbench.experiments.suite import ResolvedSuite, Settings
from cmbench.experiments.sweep.checks import is_setting
from cmbench.optim.registry import REGISTRY, get_info, title_of
from cmbench.plugins.resolve import find, guarded

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from cmbench.optim.outside import Outside


def completed(suite: ResolvedSuite[Settings]) -> ResolvedSuite[Settings]:
    """The suite with every optimizer that is not registered imported, and all of its hyperparameters there.

    Raises `UserError` naming suite and label where it cannot be imported, is no optimizer, or refuses what it is given.
    """
    if not any(spec.open for spec in suite.optimizers):
        return suite
    _check_wishes(suite.optimizers)
    return replace(suite, optimizers=tuple(_completed(spec, suite.name) for spec in suite.optimizers))


def _completed(spec: OptimizerSpec, suite: str) -> OptimizerSpec:
    if not spec.open:
        return spec
    where = f"{suite}.yaml: optimizers.{spec.label}"
    outside, source = _outside(spec.name, where)
    wished = {
        wish.name: wish.value for wish in spec.wishes if wish.name in outside.hyperparameters(spec.hyperparameters)
    }
    values, sources = _resolved(outside, spec.hyperparameters | wished, where)
    for name, tried in spec.grid.items():
        for value in tried:
            _resolved(outside, values | {name: value}, f"{where}.grid")
    for name, axis in spec.space.items():
        for value in () if is_setting(name) else axis.probes:
            _resolved(outside, values | {name: value}, f"{where}.space")
    with guarded(f"{where}: {spec.name}"):
        build(spec.name, values, _example(), where)
    return replace(spec, hyperparameters=values, source="; ".join((source, *sources)), open=False, wishes=())


def _outside(name: str, where: str) -> tuple[Outside, str]:
    """The class that `name` stands for, and what stands for its code."""
    from cmbench.optim.outside import Outside

    found = find(name, "optimizers", where)
    try:
        return Outside(name, found.value), found.source
    except ValueError as error:
        raise UserError(f"{where}: '{name}': {error}") from None


def _resolved(outside: Outside, given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """All hyperparameters, those of a companion as well, and what stands for the code of that one."""
    try:
        values = outside.resolve(given)
        rest = values.get("rest")
        if rest is None:
            return values, []
        own = {key: value for key, value in rest.items() if key not in ("name", "match")}
        kept = {key: value for key, value in rest.items() if key in ("name", "match")}
        if rest["name"] in REGISTRY:
            return values | {"rest": kept | get_info(rest["name"]).resolve(own)}, []
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    companion, source = _outside(str(rest["name"]), f"{where}.rest")
    filled, more = _resolved(companion, own, f"{where}.rest")
    return values | {"rest": kept | filled}, [source, *more]


def _check_wishes(specs: Sequence[OptimizerSpec]) -> None:
    """Raises `UserError` for what `--set` gives every optimizer that has it, where none has."""
    needed: dict[str, Wish] = {wish.name: wish for spec in specs for wish in spec.wishes if wish.needed}
    for name, wish in needed.items():
        having = [
            _outside(spec.name, f"optimizers.{spec.label}")[0].hyperparameters(spec.hyperparameters)
            for spec in specs
            if spec.open
        ]
        if not any(name in known for known in having):
            known = ", ".join(dict.fromkeys(each for names in having for each in names))
            labels = ", ".join(spec.label for spec in specs)
            raise UserError(f"--set {wish.assignment}: no chosen optimizer has '{name}' ({labels}); accepted: {known}")


def _example() -> list[dict[str, Any]]:
    import torch

    return [{"params": [torch.zeros(2, 2, requires_grad=True)]}]


def build(
    name: str,
    hyperparameters: Mapping[str, Any],
    groups: Iterable[Mapping[str, Any]],
    where: str,
    options: Mapping[str, bool] = MappingProxyType({}),
) -> Optimizer:
    """The optimizer of that name, registered or not, over parameter groups.

    A group has `params`, may have `names`, one for each of them, and hyperparameters of its own. `options` are for a
    registered one: how its step is carried out. Raises what the class of an optimizer raises.
    """
    if name in REGISTRY:
        from cmbench.optim.factory import create_optimizer

        own = [{key: value for key, value in group.items() if key != "names"} for group in groups]
        return create_optimizer(name, own, **options, **hyperparameters)
    outside, _ = _outside(name, where)
    companion = None
    if rest := hyperparameters.get("rest"):
        of_rest = {key: value for key, value in rest.items() if key not in ("name", "match")}

        def companion(others: Iterable[Mapping[str, Any]]) -> Optimizer:
            return build(rest["name"], of_rest, others, f"{where}.rest")

    return outside.build([dict(group) for group in groups], hyperparameters, companion)


def outside_document(name: str) -> dict[str, Any]:
    """What a person wants to know of an optimizer that is not registered: its arguments with their defaults."""
    from cmbench.optim.outside import is_plain

    def default(argument: inspect.Parameter) -> Any:
        if argument.default is argument.empty:
            return "required"
        return argument.default if is_plain(argument.default) else "its own"

    outside, source = _outside(name, "optimizer")
    doc = inspect.getdoc(outside.made) or ""
    return {
        "name": name,
        "title": title_of(name, {}),
        "description": doc.partition("\n")[0].rstrip(".") or f"the class {outside.made.__qualname__}",
        "source": source,
        "hyperparameters": [{"name": key, "default": default(each)} for key, each in outside.arguments.items()],
    }


def is_probed(name: str, hyperparameters: Mapping[str, Any]) -> bool:
    """Whether an optimizer takes the gradient at a probe point."""
    return bool(REGISTRY[name].probe if name in REGISTRY else hyperparameters.get("probe"))
