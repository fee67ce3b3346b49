"""YAML as a person writes it: `1e-3` is a number, and a key given twice is an error."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from cmbench.errors import UserError

# libyaml reads ten times as fast, where PyYAML was built with it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
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
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise UserError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def dump(value: Any) -> str:
    """`value` as YAML, keys in their given order, short lists on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def entry(key: str, value: dict[str, Any]) -> str:
    """`key: {…}` on one line, as it stands in a mapping."""
    plain = {name: list(item) if isinstance(item, tuple) else item for name, item in value.items()}
    options: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True}
    text: str = yaml.dump({key: plain}, Dumper=_Dumper, width=math.inf, **options)
    return text.strip()[1:-1]
