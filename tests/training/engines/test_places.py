"""Which worker gets which device and which processors: a pure function, and what workers really do with it."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.training.engines.places import MEMORY_PER_JOB, Place, jobs_that_fit, places, workers_of

GPUS = ("cuda:0", "cuda:2", "cuda:3")


def test_gpus_are_given_in_turn_and_several_times_where_there_are_more_workers():
    assert places(3, GPUS, range(64), 1) == [Place(gpu) for gpu in GPUS]
    assert [place.device for place in places(7, GPUS, range(64), 1)] == [*GPUS, *GPUS, GPUS[0]]
    assert [place.device for place in places(2, GPUS, range(64), 1)] == ["cuda:0", "cuda:2"]


@given(st.integers(1, 40), st.lists(st.integers(0, 300), min_size=1, max_size=64, unique=True), st.integers(1, 8))
def test_workers_on_cpus_have_processors_of_their_own_that_are_enough(jobs, cores, threads):
    found = places(jobs, ["cpu"], sorted(cores), threads)
    assert len(found) == jobs
    assert {place.device for place in found} == {"cpu"}
    given_out = [core for place in found for core in place.cores]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= set(cores)
    sizes = {len(place.cores) for place in found}
    assert len(sizes) == 1  # no worker is slower than another
    (size,) = sizes
    assert size == (len(cores) // jobs if jobs > 1 and len(cores) // jobs >= threads else 0)


@pytest.mark.parametrize(
    ("devices", "cores", "threads", "memory", "jobs"),
    [
        (GPUS, 8, 1, 0, 3),
        (["cpu"], 8, 1, 64 * MEMORY_PER_JOB, 8),
        (["cpu"], 8, 2, 64 * MEMORY_PER_JOB, 4),
        (["cpu"], 8, 1, 3 * MEMORY_PER_JOB, 3),
        (["cpu"], 2, 4, 1, 1),
    ],
)
def test_auto_is_what_the_machine_holds(devices, cores, threads, memory, jobs):
    assert jobs_that_fit(devices, cores, threads, memory) == jobs


def test_a_device_that_is_not_there_and_two_ways_to_say_it_are_refused():
    with pytest.raises(UserError, match="--device and --devices"):
        workers_of("cpu", ["cpu"], 1, None)
    with pytest.raises(UserError, match="--device cuda:77: not available here"):
        workers_of(None, ["cpu", "cuda:77"], None, None)


def test_devices_alone_ask_for_a_worker_each():
    assert [place.device for place in workers_of(None, ["cpu", "cpu"], None, 1).places] == ["cpu", "cpu"]
    assert len(workers_of(None, ["cpu"], 3, 1).places) == 3
    assert workers_of("cpu", (), None, 3).threads == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to processors here")
def test_a_worker_keeps_to_its_processors_with_every_thread_that_it_starts():
    core = max(os.sched_getaffinity(0))
    code = (
        "import os, threading; from cmbench.training.engines.places import keep_to\n"
        f"keep_to([{core}])\n"
        "seen = []; t = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0))); t.start(); t.join()\n"
        f"assert seen == [{{{core}}}], seen"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
