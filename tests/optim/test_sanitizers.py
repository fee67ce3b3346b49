"""The native step under the sanitizers of addresses, undefined behaviour and threads, which must notice mistakes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cmbench.optim import toolchain

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MADE = "RULE=ADAM", "MEMORY=CM", "PARAM=F32", "SLOT=F32"


def library(name):
    """The sanitizer's library, or None where the compiler has none."""
    if not shutil.which("gcc"):
        return None
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else None


ASAN, UBSAN, TSAN = map(library, ("libasan.so", "libubsan.so", "libtsan.so"))

SHAPES = """
import sys
import warnings
from pathlib import Path
import torch
from cmbench.optim import create_optimizer, toolchain
toolchain.SOURCE = Path(sys.argv[1])
warnings.simplefilter("error")
LARGE = 3_000_001
for name, options in (
    ("adam_cm", {}),
    ("adam_cm", {"buffer_dtype": torch.bfloat16, "scope": "per_tensor"}),
    ("adam_cm", {"priority": "momentum"}),
    ("adam_cg", {"weight_decay": 0.1}),
    ("sgd_cg", {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("rmsprop_cm", {"priority": "fifo"}),
):
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        shapes = [(), (0, 3), (1,), (7,), (16397,), (33, 65), (8, 6, 3, 3)]
        if dtype == torch.float32 and not options:
            shapes.append((LARGE,))
        params = [torch.ones(shape, dtype=dtype) for shape in shapes]
        params[6] = params[6].to(memory_format=torch.channels_last)
        params.append(torch.ones(70, 30, dtype=dtype).t())  # dense, in another order
        params.append(torch.ones(40, 64, dtype=dtype)[:, :31])  # with gaps
        params.append(torch.ones(1009, dtype=dtype)[1:1002])  # not aligned
        params = [param.requires_grad_() for param in params]
        optimizer = create_optimizer(name, params, capacity=3, fused=True, **options)
        for step in range(4):
            for param in params:
                param.grad = torch.sin(param.detach() * (step + 1))
            optimizer.step()
        optimizer.state_dict()
        (plan,) = optimizer._implementation._plans.values()
        assert len(plan.leaders) == len(params) - 1, "the native step was not used"
for name, priority in (("adam_cm", "gradient"), ("adam_cm", "random"), ("sgd_cg", "fifo"), ("rmsprop_cm", "momentum")):
    for shape in ((37, 3), (16, 1), (1,), (5, 2, 20)):
        lanes = torch.ones(shape, dtype=torch.float64).requires_grad_()
        optimizer = create_optimizer(name, [lanes], capacity=3, fused=True, scope="lane", priority=priority)
        for step in range(6):
            lanes.grad = torch.sin(lanes.detach() * (step + 1))
            optimizer.step()
        assert optimizer._implementation._plan is not None, "the native step of lanes was not used"
print("done")
"""


def under_asan(source, folder):
    environment = {
        "LD_PRELOAD": f"{ASAN} {UBSAN}",
        "ASAN_OPTIONS": "detect_leaks=0",
        "XDG_CACHE_HOME": str(folder),
        "CC": "gcc",
        "CFLAGS": "-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1",
        "OMP_NUM_THREADS": "2",
    }
    return subprocess.run(
        [sys.executable, "-c", SHAPES, str(source)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        cwd=ROOT,
    )


@pytest.mark.long
@pytest.mark.skipif(not (ASAN and UBSAN), reason="no AddressSanitizer here")
def test_nothing_is_read_or_written_beside_a_tensor(tmp_path):
    done = under_asan(toolchain.SOURCE, tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
    wrong = tmp_path / "native.c"
    right = toolchain.SOURCE.read_text()
    wrong.write_text(right.replace("(work, k), work->length[k],", "(work, k), work->length[k] + 1,"))
    assert wrong.read_text() != right
    caught = under_asan(wrong, tmp_path)
    assert caught.returncode != 0
    assert "heap-buffer-overflow" in caught.stderr


def threads(folder, *flags):
    program = folder / "threads"
    command = ["gcc", "-fsanitize=thread", "-g", "-O1", *(f"-D{each}" for each in (*MADE, *flags))]
    command += [f'-DNATIVE="{toolchain.SOURCE}"', str(HERE / "threads.c"), "-o", str(program), "-lm", "-lpthread"]
    subprocess.run(command, check=True)
    return program


@pytest.mark.skipif(not TSAN, reason="no ThreadSanitizer here")
def test_chunks_in_several_threads_never_meet(tmp_path):
    program = threads(tmp_path, "OVERLAP=0")
    for arguments in ((1, 1), (3, 10_001), (40, 100_003), (1, 3_000_001)):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    overlapping = threads(tmp_path, "OVERLAP=1")
    caught = subprocess.run([overlapping, "3", "10001"], capture_output=True, text=True, timeout=300)
    assert "data race" in caught.stderr
