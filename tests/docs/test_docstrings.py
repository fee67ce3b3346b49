"""What the Python API documents has docstrings: every public class, function, method and property of its modules."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass

import pytest

from .pages import PAGES

DOCUMENTED = [
    name
    for page, text in PAGES.items()
    if page.startswith("docs/api/")
    for name in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
]


def found(name):
    """The module, class or function called `name`."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"{name} does not exist")


def undocumented(name, thing):
    """The names of `thing` and of its public parts that say nothing about themselves."""
    # A class does not mean what its base means, and a dataclass's signature says nothing.
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
    if not own or own.startswith(f"{name.rpartition('.')[2]}("):
        yield name
    if inspect.ismodule(thing):
        for key, value in vars(thing).items():
            own = getattr(value, "__module__", None) == thing.__name__
            if own and not key.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                yield from undocumented(f"{name}.{key}", value)
    elif inspect.isclass(thing):
        for key in vars(thing).keys() - getattr(thing, "__dataclass_fields__", {}).keys():
            value = inspect.getattr_static(thing, key)
            is_code = inspect.isroutine(value) or isinstance(value, (property, staticmethod, classmethod))
            # What overrides a method means the same: getattr finds the docstring that it inherits.
            if not key.startswith("_") and is_code and not inspect.getdoc(getattr(thing, key)):
                yield f"{name}.{key}"


def test_the_api_documents_every_public_name_of_the_package():
    import cmbench
    from cmbench import optim, report

    listed = {name.rpartition(".")[2] for name in DOCUMENTED}
    assert {*optim.__all__, *cmbench.__all__} - listed == {"__version__", "report"}
    assert report.__doc__


@pytest.mark.parametrize("name", DOCUMENTED)
def test_it_and_its_public_parts_have_docstrings(name):
    assert [*undocumented(name, found(name))] == []


def test_a_missing_docstring_is_found():
    @dataclass
    class Record:
        value: int

    assert [*undocumented("Record", Record)] == ["Record"]

    class Silent:
        """Says what it is."""

        def method(self):
            pass

        @property
        def value(self):
            pass

    assert sorted(undocumented("Silent", Silent)) == ["Silent.method", "Silent.value"]
