"""YAML as a person writes it: `1e-3` is a number, a key given twice is an error, what no person writes is refused."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from cmbench.errors import UserError

# libyaml reads ten times as fast, where PyYAML was built with it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


MOST_CHARACTERS, MOST_VALUES, DEEPEST = 1_000_000, 100_000, 50
"""Limits of a document: its length, its values with every alias written out, how deep they are nested."""


class _Loader(_Base):  # type: ignore[misc]
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, OverflowError) as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "a key is a text or a number, no list or mapping"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Whether `data` is written out where it stands a second time: people write no anchors."""
        return True


def _sequence(dumper: yaml.SafeDumper, data: Any) -> yaml.Node:
    flat = all(not isinstance(item, (list, tuple, dict)) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", list(data), flow_style=flat)


_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(tuple, _sequence)
for _either in (_Loader, _Dumper):
    # YAML 1.1, which PyYAML follows, wants a dot in the mantissa and a sign in the exponent; people write neither. A
    # text that looks like such a number must be dumped in quotes.
    _either.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
        list("-+0123456789."),
    )


def parse(text: str, where: str) -> Any:
    """The value that `text` holds; raises `UserError` that names `where`, the line and the problem."""
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"{where}: {len(text):,} characters: accepted: at most {MOST_CHARACTERS:,}")
    try:
        _check_size(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise UserError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _check_size(text: str) -> None:
    """Raises `YAMLError` for what is nested too deep, holds itself, or is too large with its aliases written out."""
    sizes: dict[str | None, int] = {}
    open_: list[tuple[str | None, int]] = [("", 0)]
    for event in yaml.parse(text, Loader=_Base):
        problem, anchor, count = "", getattr(event, "anchor", None), 0
        if isinstance(event, yaml.AliasEvent):
            count = sizes.get(anchor, 0)  # an unknown one is for the loader to refuse
            problem = "a value that holds itself" if anchor in dict(open_) else ""
        elif isinstance(event, yaml.ScalarEvent):
            count = sizes[anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((anchor or "", 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, count = open_.pop()
            sizes[anchor] = count
        open_[-1] = open_[-1][0], open_[-1][1] + count
        if open_[-1][1] > MOST_VALUES:
            problem = f"more than {MOST_VALUES:,} values"
        if len(open_) > DEEPEST:
            problem = f"nested more than {DEEPEST} deep"
        if problem:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def dump(value: Any) -> str:
    """`value` as YAML, keys in their given order, short lists on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def entry(key: str, value: dict[str, Any]) -> str:
    """`key: {…}` on one line, as it stands in a mapping."""
    plain = {name: list(item) if isinstance(item, tuple) else item for name, item in value.items()}
    options: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True}
    text: str = yaml.dump({key: plain}, Dumper=_Dumper, width=math.inf, **options)
    return text.strip()[1:-1]
