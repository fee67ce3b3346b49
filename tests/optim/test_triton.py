"""The step in Triton: right in Triton's interpreter, compiled for GPUs that are not here, and without ever waiting."""

import multiprocessing
import os
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cmbench.optim import addressed, create_optimizer, plan, toolchain, triton_plan
from cmbench.optim.memories import MEMORIES
from cmbench.optim.rules import RULES

pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="no Triton")

NAMES = [f"{rule}_{memory}" for rule, memory in product(RULES, MEMORIES)]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
KINDS = (
    "0-dimensional",
    "empty",
    "one",
    "odd",
    "whole chunks",
    "channels_last",
    "transposed",
    "with gaps",
    "unaligned",
)


@pytest.fixture(scope="module")
def interpreter():
    """Calls a function of `interpreted.py` by its name, in a process in which Triton interprets from the start."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"TRITON_INTERPRET": "1", toolchain.OFF: "1", "OMP_NUM_THREADS": "1"}.items():
                patch.setenv(name, value)
            pool.submit(os.getpid).result()
        yield lambda function, *arguments, **options: pool.submit(_call, function, arguments, options).result()


def _call(function, arguments, options):
    from . import interpreted

    return getattr(interpreted, function)(*arguments, **options)


CASES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "kinds": st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        "dtype": st.sampled_from(DTYPES),
        "buffer_dtype": st.sampled_from((None, *DTYPES)),
        "weight_decay": st.sampled_from((0.0, 0.1)),
        "maximize": st.booleans(),
        "scope": st.sampled_from(("global", "per_tensor")),
        "priority": st.sampled_from(("gradient", "momentum", "fifo", "random")),
        "decay": st.sampled_from((1e-9, 0.7, 1.0)),
        "capacity": st.sampled_from((1, 5)),
        "steps": st.sampled_from((4, 7)),
        "skip": st.sets(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=3),
        "seed": st.integers(0, 3),
    }
)


def checked(interpreter, case, momentum):
    rule = case["name"].partition("_")[0]
    if rule in ("sgd", "rmsprop"):
        case |= {"momentum": momentum}
    if rule != "sgd" and case["dtype"] == torch.float16:
        case |= {"eps": 1e-2}  # plain would divide by what rounds to 0 in float16: a small gradient's square, ε = 1e-8
    interpreter("follows", **case, with_native=bool(shutil.which("cc")))


@given(CASES, st.sampled_from((0.0, 0.9)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_it_does_what_plain_and_c_do(interpreter, case, momentum):
    checked(interpreter, case, momentum)


@pytest.mark.long
@given(CASES, st.sampled_from((0.0, 0.9)))
# The same cases at every run: plain rounds half precision in every operation, which in rare cases is another result.
@settings(max_examples=80, deadline=None, derandomize=True)
def test_it_does_what_plain_and_c_do_in_many_more_cases(interpreter, case, momentum):
    checked(interpreter, case, momentum)


# The independent way of RMSprop, by torch's class, has one buffer for all tensors.
FOLLOWED = [(n, s) for n in NAMES for s in ("global", "per_tensor") if not (s == "per_tensor" and n.startswith("rms"))]


@pytest.mark.parametrize(("name", "scope"), FOLLOWED)
def test_it_follows_an_independent_computation_in_float64(interpreter, name, scope):
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "momentum": 0.9, "weight_decay": 0.01, "decay": 0.7, "scope": scope}
    interpreter("follows_the_equations", name, 12, options)


@pytest.mark.parametrize("slots", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_entries_of_fewer_bits_than_a_float64_parameter(interpreter, slots):
    with_native = bool(shutil.which("cc"))
    interpreter("follows", "sgd_cm", ("odd",), torch.float64, with_native, buffer_dtype=slots, capacity=2)


@pytest.mark.parametrize("name", ["adam_cm", "sgd_cg"])
def test_parameters_of_every_shape_and_layout_in_one_launch(interpreter, name):
    for dtype in (torch.float32, torch.bfloat16):
        interpreter("follows", name, KINDS, dtype, with_native=bool(shutil.which("cc")), capacity=3, steps=5)


@pytest.mark.parametrize("ways", [("plain", "triton"), ("triton", "plain")], ids=" to ".join)
@pytest.mark.parametrize("name", ["adam_cm", "rmsprop_cg"])
def test_a_checkpoint_moves_to_plain_and_back(interpreter, name, ways):
    interpreter("moved", name, *ways, capacity=3)


def test_other_tensors_are_taken_where_somebody_has_put_them(interpreter):
    interpreter("takes_other_tensors")


def test_the_same_bits_at_every_run(interpreter):
    interpreter("repeats_its_bits")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam_cm", {"weight_decay": 0.1}),
        ("adam_cm", {"scope": "per_tensor"}),
        ("rmsprop_cm", {"priority": "momentum"}),
        ("sgd_cg", {"weight_decay": 0.1, "priority": "random"}),
    ],
    ids=str,
)
def test_no_step_reads_a_value_back(interpreter, name, options):
    interpreter("never_reads_back", name, planted=False, **options)
    with pytest.raises(RuntimeError, match="reads a value back: _local_scalar_dense"):
        interpreter("never_reads_back", name, planted=True, **options)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("adam_cm", {}, ["step", "root"]),
        ("adam_cm", {"scope": "per_tensor"}, ["step", "root"]),
        ("adam_cm", {"priority": "momentum"}, ["measure", "root", "step"]),
        ("adam_cg", {}, ["measure", "root", "step"]),
    ],
    ids=str,
)
def test_one_launch_makes_the_step_of_all_tensors(interpreter, name, options, expected):
    assert interpreter("launches", name, **options) == [expected] * 3


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("params", "its result is wrong"),
        ("totals", "its result is wrong"),
        ("slots", "its result is wrong"),
        ("raises", "RuntimeError: no such driver"),
    ],
)
def test_a_wrong_one_is_not_used(interpreter, mistake, told):
    plan, warned = interpreter("a_mistake_is_noticed", mistake)
    assert plan is None
    assert warned == [f"fused=True: no Triton step on cpu, torch's compiler makes it ({told})"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam_cm", {"capacity": 3}),
        ("adam_cm", {"capacity": 2, "scope": "per_tensor"}),
        ("sgd_cg", {"capacity": 2, "momentum": 0.9}),
    ],
    ids=str,
)
def test_a_step_can_be_repeated_as_a_cuda_graph_repeats_it(interpreter, name, options):
    interpreter("a_recorded_step_can_be_repeated", name, **options)


class Transfers(TorchDispatchMode):
    """Counts what goes from the device to the host and the other way."""

    def __init__(self):
        super().__init__()
        self.to_host, self.to_device = [], []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        if name in ("_to_copy", "copy_", "_copy_from") and isinstance(found, torch.Tensor):
            source = args[1] if name == "copy_" else args[0]
            if source.device != found.device:
                (self.to_host if found.device.type == "cpu" else self.to_device).append((name, source))
        return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam_cm", {"weight_decay": 0.1}),
        ("adam_cm", {"scope": "per_tensor"}),
        ("rmsprop_cg", {"priority": "random", "weight_decay": 0.1}),
    ],
    ids=str,
)
def test_nothing_but_new_addresses_goes_to_the_device_and_nothing_comes_back(monkeypatch, name, options):
    # Fake CUDA tensors have neither values nor addresses: what reads one back raises, and those here are made up.
    monkeypatch.setattr(addressed, "FakeTensor", ())
    monkeypatch.setattr(plan, "FakeTensor", ())
    monkeypatch.setattr(triton_plan, "_tried", lambda variant, device, chunk: triton_plan.Kernel(variant, chunk))
    monkeypatch.setattr(triton_plan, "_pinned", lambda numbers, device: numbers)
    monkeypatch.setattr(triton_plan, "_is_captured", lambda device: False)
    monkeypatch.setattr(triton_plan, "chunks", lambda sizes, most: torch.zeros(3, 5, dtype=torch.int64))
    launched = []
    monkeypatch.setattr(triton_plan.Kernel, "launch", lambda self, name, *arguments, **_: launched.append(name))
    monkeypatch.setattr(torch.Tensor, "data_ptr", lambda tensor: id(tensor))
    with FakeTensorMode():
        params = [torch.randn(shape, device="cuda", requires_grad=True) for shape in ((), (70, 30))]
        optimizer = create_optimizer(name, params, lr=1e-2, fused=True, **options)

        def step(gradients):
            for param, gradient in zip(params, gradients, strict=True):
                param.grad = gradient
            launched.clear()
            with Transfers() as seen:
                optimizer.step()
            assert "step" in launched
            return seen

        some, others = ([torch.randn_like(param) for param in params] for _ in "ab")
        step(some)
        again = step(some)
        assert not again.to_device
        changed = step(others)
        assert [(name, source.dtype, source.shape) for name, source in changed.to_device] == [
            ("copy_", torch.int64, (len(params),))
        ]
        assert not again.to_host
        assert not changed.to_host
        with Transfers() as seen:
            params[0].cpu()
        assert len(seen.to_host) == 1


def test_a_captured_copy_of_addresses_has_memory_of_its_own(monkeypatch):
    # "Captured" here is only said: a copy that is done again finds what it found, and reaches nobody else.
    addresses = triton_plan.Addresses(2, torch.device("cpu"))
    eager = addresses.of([1, 2])
    with monkeypatch.context() as patch:
        patch.setattr(triton_plan, "_is_captured", lambda device: True)
        captured = [addresses.of([3, 4]), addresses.of([5, 6])]
        # The launch that measures and the one that steps ask for the same: none can be allocated in a capture.
        patch.setattr(triton_plan, "_pinned", None)
        assert addresses.of([3, 4]) is captured[0]
    assert [eager.tolist(), *(table.tolist() for table in captured)] == [[1, 2], [3, 4], [5, 6]]
    assert addresses.of([1, 2]) is eager
    assert addresses.of([7, 8]) is eager
    for host, table in addresses._captured.values():
        table.zero_().copy_(host)
    assert [eager.tolist(), *(table.tolist() for table in captured)] == [[7, 8], [3, 4], [5, 6]]


TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
FLAGS = {
    "cm": (
        {"IS_CM": True, "IS_BEFORE": True, "HAS_MOMENTUM": False},
        {"IS_CM": True, "IS_BEFORE": False, "HAS_MOMENTUM": False},
    ),
    "cg": (
        {"IS_CM": False, "IS_BEFORE": False, "HAS_MOMENTUM": True},
        {"IS_CM": False, "IS_BEFORE": False, "HAS_MOMENTUM": False},
    ),
}


def machine_code(target, name, kernel, **flags):
    """What Triton makes of a kernel, launched as the plan launches it, for a GPU that need not be here."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(kernel._module, name)
    constants = kernel._constants[name] | flags | {"CHUNK": kernel.chunk}
    wide = "*fp64" if constants.get("WIDE") == kernel._module.tl.float64 else "*fp32"
    types = {"coefficients": wide, "squares": "*fp64", "norms": "*fp64", "tensors": "i32", "accept": "*i1"}
    signature = {each: "constexpr" if each in constants else types.get(each, "*i64") for each in function.arg_names}
    options = {"num_warps": triton_plan.WARPS}
    return compile(ASTSource(function, signature, constants), target=GPUTarget(*TARGETS[target]), options=options).asm


def compiled_cases():
    for target, rule, memory, dtype, slots in product(TARGETS, RULES, MEMORIES, DTYPES, DTYPES):
        is_quick = target == "sm_90" and (dtype, slots) == (torch.float32, torch.bfloat16)
        yield pytest.param(target, rule, memory, dtype, slots, marks=[] if is_quick else pytest.mark.long)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter is on")
@pytest.mark.parametrize(("target", "rule", "memory", "dtype", "slots"), list(compiled_cases()), ids=str)
def test_it_compiles_for_gpus(target, rule, memory, dtype, slots):
    kernel = triton_plan.Kernel(addressed.Variant(rule, memory, dtype, slots), triton_plan.CHUNK)
    for flags in FLAGS[memory]:
        made = machine_code(target, "step", kernel, **flags)
        if target == "sm_90" and dtype == torch.float32:
            # A whole chunk is read and written 16 bytes at a time.
            assert re.search(r"ld\.global\.v4\.b32", made["ptx"])
            assert re.search(r"st\.global\.v4\.b32", made["ptx"])
    for of_entry in (True, False):
        machine_code(target, "measure", kernel, OF_ENTRY=of_entry)
    machine_code(target, "root", kernel)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def on_gpu(name, dtype, steps, repeated=False, **options):
    """Parameters and state after some steps on the GPU, the last ones done again by a CUDA graph where `repeated`."""
    generator = torch.Generator("cuda").manual_seed(0)
    params = [
        torch.linspace(-1, 1, n, device="cuda", dtype=dtype).view(s)
        for n, s in ((1, ()), (6006, (77, 78)), (4096, (4096,)))
    ]
    params = [param.requires_grad_() for param in params]
    optimizer = create_optimizer(name, params, lr=1e-2, capacity=3, **options)
    for param in params:
        param.grad = torch.zeros_like(param)
    graph = None
    for step in range(steps):
        for param in params:
            param.grad.copy_(torch.randn(param.shape, generator=generator, device="cuda") * (1.0, 0.3, 2.9)[step % 3])
        if not repeated or step < 4:
            optimizer.step()
            continue
        if graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                optimizer.step()
        graph.replay()
    if options.get("fused"):
        (plan,) = optimizer._implementation._plans.values()
        assert type(plan).__name__ == "TritonPlan"
    return [param.detach() for param in params], list(optimizer.state_dict()["state"].values())


@needs_gpu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"scope": "per_tensor", "weight_decay": 0.1}], ids=str)
def test_on_a_gpu_it_does_what_plain_does(name, dtype, options):
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4}.get(dtype, 5e-2)
    got = on_gpu(name, dtype, 10, fused=True, **options)
    torch.testing.assert_close(got, on_gpu(name, dtype, 10, foreach=False, **options), rtol=tolerance, atol=tolerance)


@needs_gpu
@pytest.mark.parametrize("name", ["adam_cm", "adam_cg", "sgd_cm"])
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_on_a_gpu_a_cuda_graph_repeats_it(name, scope):
    got, expected = (on_gpu(name, torch.float32, 12, repeated, fused=True, scope=scope) for repeated in (True, False))
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@needs_gpu
@pytest.mark.parametrize("name", ["adam_cm", "adam_cg", "sgd_cm"])
@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str)
def test_on_a_gpu_no_step_waits(name, options):
    params = [torch.ones(shape, device="cuda", requires_grad=True) for shape in ((), (77, 78))]
    optimizer = create_optimizer(name, params, capacity=3, weight_decay=0.1, **options)
    try:
        for step in range(6):
            for param in params:
                param.grad = torch.sin(param.detach() * (step + 1))
            torch.cuda.set_sync_debug_mode("error" if step > 1 else "default")
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
