"""Steps of the Triton kernel in Triton's interpreter, on a CPU, in a process that has been started for it."""

import os
import warnings
from contextlib import contextmanager

import numpy as np
import torch
import triton.language as tl
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from cmbench.optim import create_optimizer, get_info, toolchain, triton_plan

from .layouts import laid_out
from .reference import Problem, run, run_by_torch

CHUNK = 32
triton_plan.CHUNK = CHUNK


def _as_gpus_round(cast=InterpreterBuilder.cast_impl):
    """To bfloat16 the interpreter cuts off what a GPU rounds to nearest even."""

    def rounded(self, source, target):
        if (source.dtype.scalar, target.scalar) != (tl.float32, tl.bfloat16):
            return cast(self, source, target)
        data = torch.from_numpy(np.array(source.data, ndmin=1)).bfloat16().view(torch.uint16).numpy()
        return TensorHandle(data.reshape(source.data.shape), tl.bfloat16)

    return rounded


InterpreterBuilder.cast_impl = _as_gpus_round()

WAYS = {
    "triton": {"fused": True, "foreach": False},
    "native": {"fused": True, "foreach": False},
    "plain": {"fused": False, "foreach": False},
}
SHAPES = {
    "0-dimensional": (),
    "empty": (0, 3),
    "one": (1,),
    "odd": (CHUNK + 13,),
    "whole chunks": (2 * CHUNK,),
    "channels_last": (3, 4, 2, 3),
    "transposed": (7, 6),
    "with gaps": (4, 9),
    "unaligned": (CHUNK + 1,),
}


def shaped(kind, dtype):
    return laid_out(kind, SHAPES[kind], dtype)


def made(name, params, way, **options):
    os.environ[toolchain.OFF] = str(int(way != "native"))
    return create_optimizer(name, params, **WAYS[way], **options)


def plan_of(optimizer):
    (plan,) = optimizer._implementation._plans.values()
    return plan


def give(params, step, skip=(), seed=0):
    """Gradients of clearly different sizes from step to step; every other time laid out unlike their parameters."""
    noise = torch.Generator().manual_seed(1000 * seed + step)
    size = (1.0, 0.31, 2.9, 0.57, 5.3, 1.7)[step % 6]
    for i, param in enumerate(params):
        gradient = (size * torch.randn(param.shape, generator=noise, dtype=torch.float64)).to(param.dtype)
        in_memory = torch.empty_like(param).copy_(gradient) if step % 2 else gradient
        param.grad = None if (step, i) in skip else in_memory


def trained(name, way, kinds, dtype=torch.float32, steps=7, skip=(), seed=0, **options):
    """Parameters and state after some steps."""
    params = [shaped(kind, dtype).requires_grad_() for kind in kinds]
    optimizer = made(name, params, way, lr=1e-2, **options)
    for step in range(steps):
        give(params, step, skip, seed)
        if all(param.grad is None for param in params):
            continue
        optimizer.step()
        dense = [kind != "with gaps" for param, kind in zip(params, kinds, strict=True) if param.grad is not None]
        if way != "plain" and any(dense):
            plan = plan_of(optimizer)
            assert type(plan).__name__ == {"triton": "TritonPlan", "native": "NativePlan"}[way]
            assert len(plan.leaders) == sum(dense)
    return [param.detach() for param in params], optimizer.state_dict()["state"]


def assert_same(got, expected, tolerance, state_tolerance=None):
    for a, b in zip(got[0], expected[0], strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for i, of_param in expected[1].items():
        assert got[1][i].keys() == of_param.keys()
        for key, value in of_param.items():
            wanted = tolerance if state_tolerance is None else state_tolerance
            torch.testing.assert_close(
                got[1][i][key], value, rtol=wanted, atol=wanted, msg=lambda m, k=key, i=i: f"{i} {k}: {m}"
            )


HALF = (torch.bfloat16, torch.float16)


@contextmanager
def patched(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def follows(name, kinds, dtype, with_native, **options):
    """What the interpreter makes is what `plain` makes, and to the rounding of the order of sums what C makes."""
    # The trial has a test of its own, and would take a second for every type.
    with patched(triton_plan, "is_right", lambda *_: True):
        ours = trained(name, "triton", kinds, dtype, **options)
    slots = options.get("buffer_dtype") or dtype
    tolerance = 2e-2 if dtype in HALF else 1e-4 if dtype == torch.float32 else 1e-10
    assert_same(ours, trained(name, "plain", kinds, dtype, **options), tolerance, 8e-2 if slots in HALF else None)
    if with_native:
        tolerance = 1e-2 if dtype in HALF or slots in HALF else 1e-5 if dtype == torch.float32 else 1e-12
        assert_same(ours, trained(name, "native", kinds, dtype, **options), tolerance)


def follows_the_equations(name, steps, options):
    """In float64 the parameters are those of NumPy, or of torch's class, after every step."""
    problem, path = Problem(), []
    params = [torch.tensor(start, requires_grad=True) for start in problem.start]
    known = {key: value for key, value in options.items() if key in get_info(name).defaults}
    optimizer = made(name, params, "triton", **known)
    for t in range(1, steps + 1):
        gradients = problem.gradient([param.detach().numpy() for param in params], t)
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = torch.tensor(gradient)
        optimizer.step()
        path.append([param.detach().numpy().copy() for param in params])
    assert type(plan_of(optimizer)).__name__ == "TritonPlan"
    if name.startswith("rmsprop"):
        expected = run_by_torch(get_info(name), problem, steps, **known)
    else:
        known |= {"per_tensor": known.pop("scope", "global") == "per_tensor"}
        expected = run(name, problem, steps, **known)
    for ours, theirs in zip(path, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def moved(name, first, then, **options):
    """What comes of a checkpoint that one way has made and another goes on from."""

    def by(ways):
        params = [shaped(kind, torch.float64).requires_grad_() for kind in ("odd", "channels_last", "0-dimensional")]
        saved = None
        for number, way in enumerate(ways):
            optimizer = made(name, params, way, lr=1e-2, **options)
            if saved is not None:
                optimizer.load_state_dict(saved)
            for step in range(4):
                give(params, 4 * number + step)
                optimizer.step()
            saved = optimizer.state_dict()
        return [param.detach() for param in params], saved["state"]

    assert_same(by((first, then)), by(("plain", "plain")), 1e-10)


def takes_other_tensors():
    """A parameter that lies elsewhere, tensors that somebody puts into the state, and a switch of the way."""

    def by(way):
        params = [shaped(kind, torch.float64).requires_grad_() for kind in ("odd", "transposed")]
        optimizer = made("adam_cm", params, way, lr=1e-2)
        kept = []
        for step in range(9):
            give(params, step)
            optimizer.step()
            if step == 2:
                kept += [param.data for param in params]
                params[0].data = params[0].data.clone()
                params[1].data = params[1].data.contiguous()
            if step == 4:
                optimizer.state_dict()
                for record in optimizer.state.values():
                    record.update({key: value.clone() for key, value in record.items()})
            if step == 6:
                optimizer.param_groups[0] |= WAYS["plain"]
        return [param.detach() for param in params], optimizer.state_dict()["state"]

    assert_same(by("triton"), by("plain"), 1e-10)


def repeats_its_bits():
    """Everything is the same bits in two runs, and the norms are those of float64."""
    one, two = (trained("adam_cm", "triton", ("whole chunks", "odd", "channels_last")) for _ in range(2))
    for a, b in zip(one[0], two[0], strict=True):
        assert torch.equal(a, b)
    params = [shaped(kind, torch.float32).requires_grad_() for kind in ("whole chunks", "odd", "empty")]
    optimizer = made("adam_cm", params, "triton")
    give(params, 0)
    optimizer.step()
    exact = torch.stack([param.grad.double().norm() for param in params])
    torch.testing.assert_close(plan_of(optimizer)._norms, exact, rtol=1e-6, atol=0)


class NoReads(TorchDispatchMode):
    """Refuses what has to wait for the device to know a value."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim")

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        if name in self.REFUSED:
            raise RuntimeError(f"a step reads a value back: {name}")
        return operation(*args, **(kwargs or {}))


def hidden(launch=triton_plan.Kernel.launch):
    """Launches are no operations of torch on a GPU, as they are in the interpreter: no mode sees them."""

    def run(*arguments, **constants):
        with _disable_current_modes():
            launch(*arguments, **constants)

    return patched(triton_plan.Kernel, "launch", run)


def never_reads_back(name, planted, **options):
    """Steps under `NoReads`; with `planted`, of a plan that reads a number."""
    params = [shaped(kind, torch.float32).requires_grad_() for kind in ("odd", "one")]
    optimizer = made(name, params, "triton", lr=torch.tensor(1e-2), **options)
    for step in range(2):
        give(params, step)
        optimizer.step()
    right = triton_plan.TritonPlan.hold

    def reads(self, decisions):
        float(decisions[0].accept)
        right(self, decisions)

    with hidden(), patched(triton_plan.TritonPlan, "hold", reads if planted else right):
        for step in range(2, 5):
            give(params, step)
            with NoReads():
                optimizer.step()


def launches(name, **options):
    """The names of the kernels that each of three steps launches."""
    params = [shaped(kind, torch.float32).requires_grad_() for kind in ("odd", "channels_last", "one")]
    optimizer = made(name, params, "triton", **options)
    give(params, 0)
    optimizer.step()
    seen, launch = [], triton_plan.Kernel.launch

    def counted(self, kernel, *arguments, **constants):
        seen[-1].append(kernel)
        launch(self, kernel, *arguments, **constants)

    with patched(triton_plan.Kernel, "launch", counted):
        for step in range(1, 4):
            seen.append([])
            give(params, step)
            optimizer.step()
    return seen


def a_mistake_is_noticed(mistake):
    """A plan that does something else is not used, after one warning; what is used then, and the warnings of two."""
    right = triton_plan.TritonPlan.run

    def wrong(self, group, decisions):
        norms = right(self, group, decisions)
        if mistake == "raises":
            raise RuntimeError("no such driver\nand more")
        getattr(group, mistake)[1].add_(1e-3)
        return norms

    triton_plan._tried.cache_clear()
    triton_plan._warn_once.cache_clear()
    with patched(triton_plan.TritonPlan, "run", wrong), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            params = [torch.ones(5, requires_grad=True)]
            optimizer = made("sgd_cm", params, "triton")
            give(params, 0)
            plan = triton_plan.triton_plan((), optimizer._collect(optimizer.param_groups[0]), True)
    triton_plan._tried.cache_clear()
    return plan, [str(each.message) for each in caught]


class Recorder(TorchDispatchMode):
    """Keeps every operation and launch with the very tensors that it had, as a CUDA graph does, to be done again."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        if operation.namespace == "aten":  # not the profiler's
            self.done.append((operation, args, kwargs or {}, found))
        return found

    def again(self):
        """Does it all, with what is found put where it was found the first time."""
        for operation, args, kwargs, found in self.done:
            now = operation(*args, **kwargs)
            for old, new in zip(_tensors(found), _tensors(now), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    return [each for each in found if isinstance(each, torch.Tensor)] if isinstance(found, list | tuple) else []


def a_recorded_step_can_be_repeated(name, **options):
    """Steps that are done again without Python are those that Python would have made: all that changes is in tensors.

    Between them a step with Python has gradients of its own, which lie elsewhere; and a checkpoint is taken.
    """
    launch = triton_plan.Kernel.launch
    recorder, recording = Recorder(), False

    def recorded(*arguments, **constants):
        if recording:
            recorder.done.append((launch, arguments, constants, None))
        with _disable_current_modes():
            launch(*arguments, **constants)

    def by(repeated):
        nonlocal recording
        params = [shaped(kind, torch.float64).requires_grad_() for kind in ("odd", "transposed", "0-dimensional")]
        static = [torch.zeros_like(param) for param in params]
        optimizer = made(name, params, "triton", lr=1e-2, **options)
        for step in range(14):
            give(params, step)
            alone = step < 3 or step in (7, 8, 11)
            if not alone:
                for param, own in zip(params, static, strict=True):
                    param.grad = own.copy_(param.grad)
            if not repeated or alone:
                optimizer.step()
            elif not recorder.done:
                recording = True
                with recorder, patched(triton_plan, "_is_captured", lambda _: True):
                    optimizer.step()
                recording = False
            else:
                recorder.again()
            if step == 9:
                optimizer.state_dict()
        return [param.detach() for param in params], optimizer.state_dict()["state"]

    with patched(triton_plan.Kernel, "launch", recorded):
        assert_same(by(True), by(False), 1e-13)
