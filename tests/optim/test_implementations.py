"""The fast implementations do what the plain one does, without asking the device, compiled or not."""

import os
import subprocess
import sys
import warnings
from itertools import product

import pytest
import torch
import torch._dynamo.testing
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cmbench.optim import create_optimizer, foreach, get_info, list_optimizers, passes, toolchain
from cmbench.optim.buffer import RESUM_EVERY
from cmbench.optim.memories import MEMORIES
from cmbench.optim.rules import RULES

BUFFERED = [name for name in list_optimizers() if get_info(name).memory and not get_info(name).probe]
FAST = [{"foreach": True}, {"fused": True}]
COMPILED = {"fused": True, "native": False}
"""By torch's compiler, as where there is no C compiler's step: an option of these tests."""
OURS = [name for name in list_optimizers() if get_info(name).memory]
"""Those whose step is not torch's own, which breaks graphs and reads back as it pleases."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(foreach, "BLOCK", 5000)  # so that the tensors here are cut


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setenv(toolchain.OFF, "0")


def train(name, steps=40, dtype=torch.float32, skip=(), native=True, **options):
    """Parameters of all the shapes that are treated differently, under noisy gradients; returns them and the state."""
    os.environ[toolchain.OFF] = str(int(not native))
    torch.manual_seed(0)
    shapes = [(16, 3, 5, 5), (200, 200), (10,), (64, 64, 3, 3), (150, 300), (3, 5), ()]
    params = [torch.randn(shape, dtype=dtype) for shape in shapes]
    params[3] = params[3].to(memory_format=torch.channels_last)
    params = [p.requires_grad_() for p in params]
    groups = [{"params": params[:4]}, {"params": params[4:], "lr": 3e-3}]
    optimizer = create_optimizer(name, groups, lr=1e-3, **options)
    noise = torch.Generator().manual_seed(1)
    for step in range(steps):
        for i, param in enumerate(params):
            size = 1 + 0.3 * torch.rand((), generator=noise, dtype=dtype)
            gradient = torch.randn(param.shape, generator=noise, dtype=dtype) * size + 0.1 * param.detach()
            param.grad = None if (step, i) in skip else gradient.contiguous()
        if step % 3:  # a gradient may lie in memory unlike its parameter
            params[3].grad = params[3].grad.to(memory_format=torch.channels_last)
        if step == 30:
            optimizer.param_groups[1]["weight_decay"] = 0.2
        optimizer.step()
    return params, optimizer.state_dict()["state"]


def assert_same(got, expected, tolerance):
    for a, b in zip(got[0], expected[0], strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for i, state in expected[1].items():
        assert got[1][i].keys() == state.keys()
        for key, value in state.items():
            torch.testing.assert_close(
                got[1][i][key], value, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k} {m}"
            )


def case(name, fast, *others):
    """A case of a parametrised test: what takes a compilation by torch is long, but for one optimizer."""
    quick = "native" not in fast or (name == "adam_cm" and not any(others))
    return pytest.param(name, fast, *others, marks=[] if quick else pytest.mark.long)


OPTIONS = (
    {},
    {"priority": "momentum", "decay": 0.99},
    {"priority": "fifo"},
    {"priority": "random"},
    {"priority": "random", "scope": "per_tensor"},
    {"scope": "per_tensor", "capacity": 3},
    {"weight_decay": 0.1, "maximize": True},
    {"capacity": 1},
    {"capacity": 0},
)


@pytest.mark.parametrize(
    ("name", "fast", "options"), [case(*each) for each in product(BUFFERED, [*FAST, COMPILED], OPTIONS)]
)
def test_it_is_the_plain_one_in_float64(name, fast, options):
    skip = {(20, 1), (25, 1), (26, 1), (20, 2), (30, 5)}
    plain = train(name, dtype=torch.float64, skip=skip, foreach=False, **options)
    assert_same(train(name, dtype=torch.float64, skip=skip, **fast, **options), plain, 1e-10)


@pytest.mark.long
@pytest.mark.parametrize(("name", "fast"), [case(*each) for each in product(BUFFERED, [*FAST, COMPILED])])
def test_slots_of_bfloat16_have_a_sum_in_float32(name, fast):
    params, state = train(name, buffer_dtype=torch.bfloat16, **fast)
    exact, _ = train(name, foreach=False)
    for p, e in zip(params, exact, strict=True):
        torch.testing.assert_close(p, e, rtol=5e-3, atol=5e-3)
    for of_param in state.values():
        slots = [of_param[f"slot_{k}"] for k in range(5)]
        assert {slot.dtype for slot in slots} == {torch.bfloat16}
        assert of_param["buffer_sum"].dtype == torch.float32
        torch.testing.assert_close(of_param["buffer_sum"], sum(s.float() for s in slots), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [(n, {}) for n in list_optimizers()]
    + [("adam_cm", {"priority": "random"})]
    + [pytest.param(n, o, marks=pytest.mark.long) for n in OURS for o in [{"foreach": False}, *FAST]],
)
def test_a_step_on_a_gpu_never_waits_for_it(name, options):
    # Fake CUDA tensors have no values: whatever reads one back raises.
    with FakeTensorMode():
        params = [torch.randn(s, device="cuda", requires_grad=True) for s in ((4,), (300, 200), (2000, 1000))]
        optimizer = create_optimizer(name, params, lr=1e-2, **options)

        def closure():
            for param in params:
                param.grad = torch.sin(param.detach())
            return params[0].detach().sum()

        for _ in range(RESUM_EVERY + 1 if name == "adam_cm" and options else 3):
            loss = optimizer.step(closure)
        assert loss.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            loss.item()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(n, o, marks=[] if n in ("adam_cm", "sgd_sam_cg") else pytest.mark.long)
        for n, o in product(OURS, [{"foreach": False}, *FAST])
    ],
)
def test_a_step_is_one_graph(name, options):
    torch._dynamo.reset()
    twins = [
        [torch.nn.Parameter(torch.linspace(-1, 1, n).view(s)) for n, s in ((4, (4,)), (60, (6, 10)))] for _ in "ab"
    ]
    optimizers = [create_optimizer(name, params, lr=1e-2, **options) for params in twins]
    # A probe's evaluations are the user's code; what is its own is how far it goes, and the step of its base.
    bases = [getattr(optimizer, "base", optimizer) for optimizer in optimizers]
    counter = torch._dynamo.testing.CompileCounter()
    steps = [bases[0].step, torch.compile(bases[1].step, fullgraph=True, backend=counter)]
    if get_info(name).probe:
        steps = [
            lambda o=o, s=s, f=f: (offsets(o, f), s()) for o, s, f in zip(optimizers, steps, (False, True), strict=True)
        ]
    for t in range(6):
        for params, step in zip(twins, steps, strict=True):
            for param in params:
                param.grad = torch.cos(param.detach() * (t + 1))
            step()
    assert counter.frame_count <= 2
    for a, b in zip(*twins, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def offsets(probe, compiled):
    """Moves by the probe's offsets and half of the way back, so that the test sees them."""
    find = lambda: [offset for _, offset in probe._offsets()]  # noqa: E731
    moves = (torch.compile(find, fullgraph=True, backend="eager") if compiled else find)()
    for param, move in zip(probe.param_groups[0]["params"], moves, strict=True):
        param.add_(move, alpha=0.5)


@pytest.mark.long
@pytest.mark.parametrize("options", [{"foreach": False}, *FAST], ids=["plain", "foreach", "fused"])
@pytest.mark.parametrize("buffer_dtype", [None, "bfloat16"])
def test_the_running_sum_stays_near_the_exact_one_while_gradients_shrink(options, buffer_dtype):
    # 1e4 times smaller over the run, as over the 100,000 steps of a long training.
    steps, size = 20 * RESUM_EVERY + 200, 500
    param = torch.zeros(200, 200).requires_grad_() if options.get("fused") else torch.zeros(size).requires_grad_()
    optimizer = create_optimizer("adam_cm", [param], lr=0.0, decay=0.7, buffer_dtype=buffer_dtype, **options)
    noise = torch.Generator().manual_seed(0)
    worst = 0.0
    for step in range(steps):
        param.grad = torch.randn(param.shape, generator=noise).add_(0.5) * 1e-4 ** (step / steps)
        optimizer.step()
        if step % 40 == 39:
            state = optimizer.state_dict()["state"][0]
            exact = sum(state[f"slot_{k}"].double() for k in range(5))
            worst = max(worst, float((state["buffer_sum"] - exact).norm() / exact.norm()))
    assert worst < 1e-5


@pytest.mark.long
def test_without_a_compiler_it_warns_once_and_goes_on():
    code = """
import torch, warnings
from cmbench.optim import AdamCM, AdamCG
def run(cls, **options):
    torch.manual_seed(0)
    params = [torch.randn(300, 300, requires_grad=True), torch.randn(5, requires_grad=True)]
    optimizer = cls(params, **options)
    for _ in range(5):
        for p in params: p.grad = torch.sin(p.detach())
        optimizer.step()
    return params
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ours = run(AdamCM, fused=True)
    run(AdamCM, fused=True)
told = [str(w.message) for w in caught if "fused=True" in str(w.message)]
assert len(told) == 1 and "foreach is used instead" in told[0], told
for a, b in zip(ours, run(AdamCM)): assert torch.equal(a, b)
"""
    environment = {"CXX": "/nowhere/c++", "PATH": "/nowhere", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_a_compiled_pass_that_is_wrong_is_not_used(monkeypatch):
    def broken(body, **_):
        def run(*args, **kwargs):
            kwargs["slots"].add_(1)
            return body(*args, **kwargs)

        run.__name__ = "broken"
        return run

    monkeypatch.setattr(torch, "compile", broken)
    state = ("exp_avg", "exp_avg_sq")
    variant = passes.Variant(RULES["adam"], MEMORIES["cm"], state, False, True, torch.float16, torch.float32, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert passes.compiled(variant) is None
    passes.compiled.cache_clear()


@pytest.mark.long
def test_state_has_the_bytes_that_it_should():
    for buffer_dtype, each in ((None, 4), (torch.bfloat16, 2)):
        for options in ({"foreach": False}, *FAST):
            param = torch.zeros(1000, 100, requires_grad=True)
            optimizer = create_optimizer("adam_cm", [param], capacity=7, buffer_dtype=buffer_dtype, **options)
            param.grad = torch.ones_like(param)
            optimizer.step()
            optimizer.step()
            tensors = optimizer.state_dict()["state"][0].values()
            large = sum(t.numel() * t.element_size() for t in tensors if t.numel() >= param.numel())
            assert large == (12 + 7 * each) * param.numel()


def test_tensors_that_somebody_puts_into_the_state_are_used():
    # A common habit after loading: `state[key] = value.to(device)`.
    for options in ({"foreach": False}, *FAST):
        results = []
        for swap in (False, True):
            torch.manual_seed(0)
            params = [torch.randn(300, 300, requires_grad=True), torch.randn(7, requires_grad=True)]
            optimizer = create_optimizer("adam_cm", params, lr=1e-2, **options)
            for step in range(20):
                if swap and step == 10:
                    optimizer.state_dict()
                    for state in optimizer.state.values():
                        for key, value in state.items():
                            state[key] = value.clone()
                for param in params:
                    param.grad = torch.sin(param.detach() * (step + 1))
                optimizer.step()
            results.append(params)
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("compiler", ["native", pytest.param("torch", marks=pytest.mark.long)])
@pytest.mark.parametrize("options", [{"foreach": False}, *FAST], ids=str)
@pytest.mark.parametrize("name", [n for n in BUFFERED if get_info(n).rule.key != "sgd"])
def test_a_square_that_overflows_stops_a_parameter_and_makes_it_no_nan(name, options, compiler, monkeypatch):
    """As in torch's classes, whose mean of squares stays infinite."""
    if compiler == "torch":
        monkeypatch.setenv("CMBENCH_NO_NATIVE", "1")
    params = [torch.ones(3, requires_grad=True), torch.ones(40_000, requires_grad=True)]
    optimizer = create_optimizer(name, params, **options)
    for gradient, moves in ((0.5, True), (0.5, True), (1e25, False), (0.5, False), (0.5, False)):
        before = [param.detach().clone() for param in params]
        for param in params:
            param.grad = torch.full_like(param, gradient)
        optimizer.step()
        assert all(param.isfinite().all() for param in params)
        assert [not torch.equal(a, b) for a, b in zip(params, before, strict=True)] == [moves, moves]
    for param in params:
        param.grad = torch.full_like(param, torch.nan)
    optimizer.step()
    assert all(param.isnan().all() for param in params)
