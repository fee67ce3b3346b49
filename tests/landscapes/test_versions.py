"""A surface that computes something else has another version: its runs are not mistaken for those before."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from cmbench.experiments.suite import load_suite
from cmbench.landscapes import surfaces
from cmbench.landscapes.cells import prepare
from cmbench.landscapes.surfaces import SURFACES

FILE = Path(__file__).with_name("versions.json")
RECORDED = json.loads(FILE.read_text())


def computed(surface):
    """Values, gradients and nearest minima at fixed points of the domain, and the global minimum."""
    dim, (low, high) = surface.dim or 3, surface.domain
    x = low + (high - low) * (0.5 + 0.45 * torch.arange(4 * dim, dtype=torch.float64).view(4, dim).sin())
    known = {"sharpness": 5.0, "spectrum": torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)}
    function = partial(surface.function, **{name: known[name] for name in surface.parameters})
    x.requires_grad_()
    value = function(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    lowest = surface.global_minimum(dim)
    return {
        "value": value.tolist(),
        "gradient": gradient.flatten().tolist(),
        "nearest_minimum": surface.nearest_minimum(x.detach()).flatten().tolist(),
        "global_minimum": [*lowest, function(torch.tensor(lowest, dtype=torch.float64)).item()],
    }


def is_the_same(new, old):
    return all(new[name] == pytest.approx(old[name], rel=1e-6, abs=1e-6) for name in old if name != "version")


@pytest.mark.parametrize("name", list(SURFACES))
def test_what_it_computes_is_that_of_its_version(name):
    surface = SURFACES[name]
    new, old = {"version": surface.version} | computed(surface), RECORDED.get(name)
    line = f'"{name}": {json.dumps(new)}'
    assert old is not None, f"a new surface: add to {FILE.name}\n{line}"
    if is_the_same(new, old):
        assert new["version"] == old["version"], f"{name} computes what it did: its version stays {old['version']}"
    else:
        assert new["version"] > old["version"], f"{name} computes something else: raise its version"
        pytest.fail(f"{name} has a new version: put into {FILE.name}\n{line}")


@pytest.mark.parametrize("name", list(SURFACES))
def test_another_function_is_noticed(name):
    surface = SURFACES[name]
    other = dataclasses.replace(surface, function=lambda x, **also: 1.0001 * surface.function(x, **also))
    assert not is_the_same(computed(other), RECORDED[name])


def test_a_new_version_gives_other_runs(monkeypatch):
    suite = load_suite("levy", kind="toy")
    before = prepare(suite).specs
    raised = dataclasses.replace(SURFACES["levy"], version=SURFACES["levy"].version + 1)
    monkeypatch.setitem(surfaces.SURFACES, "levy", raised)
    assert {spec.id for spec in before}.isdisjoint(spec.id for spec in prepare(suite).specs)
