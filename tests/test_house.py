"""The house keeps its shape: rooms import downwards, files and functions stay short, a rule is one short file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "cmbench").rglob("*.py"))
FLOORS = (
    {"errors", "version"},
    {"optim", "plugins"},
    {"experiments"},
    {"workloads"},
    {"training", "landscapes", "report"},
    {"curvature"},
    {"api"},
    {"sweep"},
    {"cli"},
)
"""Rooms from the ground up; one imports rooms of lower floors, and `cmbench` itself only what is asked for."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "cmbench" else None


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "cmbench")


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(ROOT)))
def file(request):
    return request.param


def test_rooms_import_downwards(file):
    parts = file.relative_to(ROOT / "cmbench").with_suffix("").parts
    own = parts[0]
    if own in ("__init__", "__main__"):
        return
    for module in imported(ast.parse(file.read_text())):
        room = room_of(module)
        if room in FLOOR and room != own:
            assert FLOOR[room] < FLOOR[own], f"{own} imports {module}"
    assert own in FLOOR


def test_optim_imports_torch_and_nothing_of_ours():
    for path in (ROOT / "cmbench" / "optim").rglob("*.py"):
        ours = {room_of(module) for module in imported(ast.parse(path.read_text()))} - {None, "optim"}
        assert not ours, path


def test_files_and_functions_are_read_in_one_sitting(file):
    text = file.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), "a module opens with one sentence"
    assert text.count("\n") <= 350
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


def test_a_rule_is_one_file_of_at_most_sixty_lines():
    rules = ROOT / "cmbench" / "optim" / "rules"
    own = [path for path in rules.glob("*.py") if path.stem not in ("__init__", "base")]
    assert len(own) >= 3
    for path in own:
        assert path.read_text().count("\n") <= 60, path.name
        elsewhere = [
            other
            for other in (ROOT / "cmbench").rglob("*.py")
            if other not in (path, rules / "__init__.py") and f'"{path.stem}"' in other.read_text()
        ]
        # The classes of the paper's rules have their signatures spelled out, and the figures a colour for each.
        assert path.stem in ("adam", "sgd") or not elsewhere
