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

from cmbench.optim import create_optimizer, toolchain
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
    """Calls a function of `interpreted.py` by its name in a process in which Triton is an interpreter from the start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setenv(toolchain.OFF, "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
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
    if case["name"].partition("_")[0] in ("sgd", "rmsprop"):
        case |= {"momentum": momentum}
    interpreter("follows", **case, with_native=bool(shutil.which("cc")))


@given(CASES, st.sampled_from((0.0, 0.9)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_it_does_what_plain_and_c_do(interpreter, case, momentum):
    checked(interpreter, case, momentum)


@pytest.mark.long
@given(CASES, st.sampled_from((0.0, 0.9)))
@settings(max_examples=400, deadline=None)
def test_it_does_what_plain_and_c_do_in_many_more_cases(interpreter, case, momentum):
    checked(interpreter, case, momentum)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_it_follows_an_independent_computation_in_float64(interpreter, name, scope):
    if scope == "per_tensor" and name.startswith("rmsprop"):
        pytest.skip("the second way by torch's class has one buffer for all tensors")
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "momentum": 0.9, "weight_decay": 0.01, "decay": 0.7, "scope": scope}
    interpreter("follows_the_equations", name, 12, options)


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
