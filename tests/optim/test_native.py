"""The native step: right for every rule, memory and type, whatever lies in memory how, and made once per machine."""

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from cmbench.optim import create_optimizer, native, toolchain, trial
from cmbench.optim.addressed import roles_of
from cmbench.optim.memories import MEMORIES
from cmbench.optim.native import CHUNK, Chunks
from cmbench.optim.rules import RULES
from cmbench.optim.rules.adam import Adam
from cmbench.optim.trial import Variant, loaded

from .layouts import laid_out

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
pytestmark = needs_compiler

WIDE = (torch.float32, torch.float64)
HALF = (torch.bfloat16, torch.float16)


@pytest.mark.parametrize(("rule", "memory"), list(product(RULES, MEMORIES)))
@pytest.mark.parametrize("dtype", WIDE + HALF, ids=str)
@pytest.mark.parametrize("slots", WIDE + HALF, ids=str)
def test_it_is_right_for_every_rule_memory_and_type(rule, memory, dtype, slots):
    assert loaded(Variant(rule, memory, dtype, slots)) is not None


def test_a_rule_made_of_another_is_not_taken_for_it():
    class Another(Adam):
        pass

    assert roles_of(RULES["adam"]) == {"momentum": "exp_avg", "square": "exp_avg_sq"}
    assert roles_of(Another(key="another")) is None


@pytest.mark.parametrize("mistake", ["params", "totals", "slots"])
def test_a_wrong_one_is_not_used(mistake, monkeypatch):
    variant = Variant("adam", "cm", torch.float32, torch.float32)
    right = native.NativePlan.run

    def run(self, group, decisions):
        norms = right(self, group, decisions)
        getattr(group, mistake)[1].add_(1e-3)
        return norms

    monkeypatch.setattr(native.NativePlan, "run", run)
    trial._warn_once.cache_clear()
    trial._tried.cache_clear()
    with pytest.warns(UserWarning, match=r"no native step, foreach is used instead \(its result is wrong\)"):
        assert loaded(variant) is None
    trial._tried.cache_clear()


SHAPES = {
    "0-dimensional": (),
    "empty": (0, 3),
    "one": (1,),
    "odd": (CHUNK + 13,),
    "many chunks": (3 * CHUNK, 5),
    "channels_last": (8, 6, 3, 3),
    "transposed": (70, 30),
    "with gaps": (40, 31),
    "unaligned": (1001,),
}
KINDS = tuple(SHAPES)


def train(name, kinds, fused, threads=1, **options):
    """`kinds` of parameters after ten steps, with their gradients in another layout every other step."""
    params = [laid_out(kind, SHAPES[kind], torch.float32).requires_grad_() for kind in kinds]
    starts = [param.detach().clone() for param in params]
    optimizer = create_optimizer(name, params, lr=1e-2, capacity=3, fused=fused, foreach=False, **options)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step in range(10):
            for param, at in zip(params, starts, strict=True):
                gradient = torch.sin((step + 1) * 7 * at) + 0.1
                param.grad = gradient if step % 2 else gradient.contiguous()
            optimizer.step()
    finally:
        torch.set_num_threads(before)
    return params, optimizer.state_dict()["state"]


@pytest.mark.parametrize("name", ["adam_cm", "sgd_cg", "rmsprop_cm"])
@pytest.mark.parametrize("options", [{}, {"scope": "per_tensor"}, {"weight_decay": 0.1, "maximize": True}], ids=str)
@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=" ".join)
def test_parameters_of_every_shape_and_layout_are_updated_like_by_plain(name, options, kinds):
    (params, state), (expected, states) = (train(name, kinds, fused, **options) for fused in (True, False))
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=1e-6)
    for i, of_param in states.items():
        for key, value in of_param.items():
            torch.testing.assert_close(state[i][key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")


def test_the_result_does_not_depend_on_the_number_of_threads():
    one, three = (train("adam_cm", KINDS, True, threads)[0] for threads in (1, 3))
    assert all(map(torch.equal, one, three))


@pytest.mark.parametrize("move", ["elsewhere", "transposed"])
def test_a_parameter_may_lie_elsewhere_from_one_step_to_the_next(move):
    def trained(fused):
        param = torch.linspace(-1, 1, 3600).view(60, 60).requires_grad_()
        optimizer = create_optimizer("adam_cm", [param], lr=1e-2, fused=fused, foreach=False)
        kept = []
        for step in range(8):
            param.grad = torch.sin(torch.arange(3600.0) + step).view(60, 60)
            optimizer.step()
            kept.append(param.data)
            param.data = param.data.clone() if move == "elsewhere" else param.data.clone().t().contiguous().t()
        return param

    torch.testing.assert_close(trained(True), trained(False), rtol=1e-5, atol=1e-6)


def test_a_graph_that_needs_the_old_parameter_says_so():
    param = torch.ones(50, requires_grad=True)
    optimizer = create_optimizer("adam_cm", [param], fused=True)
    for _ in range(2):
        loss = (param**3).sum()
        param.grad = torch.ones(50)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("device", ["meta"])
def test_torchs_default_device_does_not_matter(device):
    param, twin = (torch.ones(100, requires_grad=True) for _ in "ab")
    optimizers = [create_optimizer("adam_cm", [p], fused=f, foreach=False) for p, f in ((param, True), (twin, False))]
    before = loaded(Variant("adam", "cm", torch.float32, torch.float32))
    assert before
    with torch.device(device):
        for _ in range(4):
            for p, optimizer in zip((param, twin), optimizers, strict=True):
                p.grad = p.detach().sin()
                optimizer.step()
    torch.testing.assert_close(param, twin)


def test_chunks_cover_every_element_once():
    sizes = [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK - 1, 3]
    chunks = Chunks.of(sizes)
    covered = [torch.zeros(size, dtype=torch.int64) for size in sizes]
    for tensor, begin, length in zip(chunks.tensor, chunks.begin, chunks.length, strict=True):
        covered[tensor][begin : begin + length] += 1
    assert all((each == 1).all() for each in covered)
    assert chunks.ends[-1] == len(chunks.tensor)


STEP = """
import torch
from cmbench.optim import AdamCM
param = torch.ones(100, requires_grad=True)
optimizer = AdamCM([param], fused=True)
for _ in range(3):
    param.grad = torch.sin(param.detach())
    optimizer.step()
print(type(next(iter(optimizer._implementation._plans.values()))).__name__, param.sum().item())
"""


def start(**environment):
    clean = {key: value for key, value in os.environ.items() if key not in ("CC", "CFLAGS", toolchain.OFF)}
    return subprocess.Popen(
        [sys.executable, "-c", STEP],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split(), err


@pytest.mark.long
def test_many_processes_at_once_make_one_file(tmp_path):
    processes = [start(XDG_CACHE_HOME=str(tmp_path)) for _ in range(6)]
    said = [ended(process) for process in processes]
    assert {tuple(words) for words, _ in said} == {tuple(said[0][0])}
    assert said[0][0][0] == "NativePlan"
    assert not any(err for _, err in said)
    (made,) = tmp_path.rglob("*.so")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [made]
    written = made.stat().st_mtime_ns
    ended(start(XDG_CACHE_HOME=str(tmp_path)))
    assert made.stat().st_mtime_ns == written


@pytest.mark.long
@pytest.mark.parametrize(
    ("environment", "plan", "warning"),
    [
        ({toolchain.OFF: "1"}, "CompiledPlan", ""),
        ({"CC": "/nowhere/cc"}, "NoPlan", "foreach is used instead (no C compiler: /nowhere/cc)"),
        ({"CC": "false"}, "NoPlan", "foreach is used instead (false: exit code 1)"),
        ({"CFLAGS": "-O1"}, "NativePlan", ""),
        ({"XDG_CACHE_HOME": "/dev/null"}, "NativePlan", ""),
    ],
    ids=str,
)
def test_what_the_environment_says_is_heeded(environment, plan, warning, tmp_path):
    (used, _), err = ended(start(**{"XDG_CACHE_HOME": str(tmp_path)} | environment))
    assert used == plan
    assert warning in err
    assert bool(warning) == ("fused=True" in err)


@pytest.mark.long
def test_a_compiler_without_openmp_makes_one_for_a_single_thread(tmp_path):
    compiler = tmp_path / "plain-cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-fopenmp*) echo "error: no -fopenmp" >&2; exit 1;; esac\nexec cc "$@"\n'
    )
    compiler.chmod(0o755)
    (used, total), err = ended(start(XDG_CACHE_HOME=str(tmp_path / "own"), CC=str(compiler)))
    (same, expected), _ = ended(start(XDG_CACHE_HOME=str(tmp_path / "other")))
    assert (used, same, total, err) == ("NativePlan", "NativePlan", expected, "")


def test_another_source_compiler_or_flag_makes_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    defines = Variant("sgd", "cm", torch.float32, torch.float32).defines
    toolchain.library(defines)
    monkeypatch.setenv("CFLAGS", "-O1")
    toolchain.library(defines)
    monkeypatch.setattr(toolchain, "SOURCE", tmp_path / "native.c")
    toolchain.SOURCE.write_text(Path(native.__file__).with_name("native.c").read_text() + "\n")
    toolchain.library(defines)
    assert len(list(tmp_path.rglob("*.so"))) == 3
