"""A run belongs to one process at a time, whatever the others find, and whenever they find it."""

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from cmbench.errors import UserError
from cmbench.experiments import lease as module
from cmbench.experiments.lease import DEAD_SECONDS, LeaseLost, Leases
from cmbench.experiments.process import this_machine


@pytest.fixture
def spec(specs):
    return specs[0]


def files(leases):
    return sorted(path.name for path in leases.folder.iterdir())


def hold(leases, spec):
    """Another process that holds the lease on the run of `spec`."""
    program = (
        "import pickle; from cmbench.experiments.lease import Leases\n"
        f"lease = Leases({str(leases.folder.parent)!r}).take(pickle.loads({pickle.dumps(spec)!r}), 'cpu')\n"
        "lease.__enter__(); print('held', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def elsewhere(leases, spec, seconds_ago):
    """Makes the run's lease that of a process on another machine, last heard of so many seconds ago."""
    leases.take(spec, "cpu")
    path = leases.folder / f"{spec.id}.1"
    content = json.loads(path.read_text())
    content["owner"] |= {"host": "other", "machine": "0" * 12}
    path.write_text(json.dumps(content))
    now = time.time() - seconds_ago
    os.utime(path, (now, now))


def test_a_run_is_held_until_it_is_given_back_and_then_goes_on(tmp_path, specs):
    leases = Leases(tmp_path)
    with leases.take(specs[0], "cuda:1"):
        assert leases.is_held(specs[0].id)
        assert Leases(tmp_path).take(specs[0], "cpu") is None
        with leases.take(specs[1], "cpu"):
            assert {run: held.is_live for run, held in leases.all().items()} == {s.id: True for s in specs[:2]}
    record = leases.all()[specs[0].id].record
    assert (record.device, record.label, record.seed) == ("cuda:1", specs[0].label, specs[0].seed)
    assert record.state == "ended"
    assert not leases.is_held(specs[0].id)
    with leases.take(specs[0], "cpu") as again:
        again.finished = True
    assert files(leases) == [f"{specs[1].id}.1"]  # of what is finished nothing is left


def test_a_dead_owner_on_this_machine_is_noticed_at_once(tmp_path, spec):
    leases = Leases(tmp_path)
    owner = hold(leases, spec)
    assert leases.take(spec, "cpu") is None
    owner.kill()
    owner.wait()
    assert leases.all()[spec.id].is_live is False
    with leases.take(spec, "cpu"):
        assert leases.is_held(spec.id)


@pytest.mark.parametrize(("seconds", "held"), [(DEAD_SECONDS - 10, True), (DEAD_SECONDS + 10, False)])
def test_an_owner_elsewhere_is_dead_when_it_was_not_heard_of_for_a_minute(seconds, held, tmp_path, spec):
    leases = Leases(tmp_path)
    elsewhere(leases, spec, seconds)
    assert leases.is_held(spec.id) == held
    assert (leases.take(spec, "cpu") is None) == held


def test_who_was_taken_for_dead_writes_nothing_more(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.0)
    leases = Leases(tmp_path)
    with leases.take(spec, "cpu") as slow:
        slow.verify()
        path = leases.folder / f"{spec.id}.1"
        path.write_text(path.read_text().replace(this_machine(), "0" * 12))
        os.utime(path, (1, 1))
        with leases.take(spec, "cpu") as new:
            with pytest.raises(LeaseLost):
                slow.verify()
            new.verify()
            time.sleep(2.5)  # two of its heartbeats would have come
            assert path.stat().st_mtime == 1
    assert leases.all()[spec.id].record.state == "ended"


def test_of_many_that_find_a_dead_owner_one_goes_on(tmp_path, spec):
    for _ in range(20):
        leases = Leases(tmp_path)
        elsewhere(leases, spec, DEAD_SECONDS + 1)
        taken, ready = [], threading.Barrier(8)

        def attempt(leases=leases, taken=taken, ready=ready):
            ready.wait()
            taken.append(leases.take(spec, "cpu"))

        threads = [threading.Thread(target=attempt) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in taken) == 1
        leases.forget(spec.id)


def test_who_looked_too_early_takes_nothing_from_who_came_first(tmp_path, spec, monkeypatch):
    early, leases = Leases(tmp_path), Leases(tmp_path)
    elsewhere(leases, spec, DEAD_SECONDS + 1)
    looked = early._is_live(early._path(spec.id, 1), early._now())
    assert looked is False
    with leases.take(spec, "cpu") as first:
        answers = iter([1])  # what it saw before; then the truth
        seen = early._latest
        monkeypatch.setattr(early, "_latest", lambda run: next(answers, None) or seen(run))
        assert early.take(spec, "cpu") is None
        first.verify()


def test_the_heartbeat_says_how_far_the_run_is(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.5)
    leases = Leases(tmp_path)
    with leases.take(spec, "cpu") as lease:
        lease.began(40, 200)
        deadline = time.monotonic() + 10
        while leases.all()[spec.id].record.total_steps != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lease.note(60)
        while leases.all()[spec.id].record.step != 60:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert leases.all()[spec.id].record.began_at_step == 40


@pytest.mark.parametrize("one", [True, False])
def test_who_holds_a_run_is_asked_to_stop_and_who_comes_later_is_not(one, tmp_path, spec):
    leases, later = Leases(tmp_path), Leases(tmp_path)
    with leases.take(spec, "cpu") as lease:
        leases.watch()
        time.sleep(0.05)
        assert not lease.stop_requested
        assert not leases.stopping
        Leases(tmp_path).ask_to_stop(spec.id if one else None)
        deadline = time.monotonic() + 10
        while not lease.stop_requested:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert leases.stopping == (not one)
    time.sleep(0.05)
    later.watch()
    assert not later.stopping
    with later.take(spec, "cpu") as lease:
        time.sleep(1.5)
        assert not lease.stop_requested


def test_a_file_system_without_links_will_do(tmp_path, spec, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuses)
    leases = Leases(tmp_path)
    with leases.take(spec, "cpu"):
        assert leases.take(spec, "cpu") is None


def test_what_is_half_written_belongs_to_whoever_writes_it(tmp_path, spec):
    leases = Leases(tmp_path)
    leases.take(spec, "cpu")
    path = leases.folder / f"{spec.id}.1"
    path.write_text('{"run"')
    assert leases.take(spec, "cpu") is None
    os.utime(path, (1, 1))
    assert leases.take(spec, "cpu") is not None


def test_a_folder_that_cannot_be_written_is_named(tmp_path, spec):
    (tmp_path / ".leases").write_text("in the way")
    with pytest.raises(UserError, match=r"\.leases: cannot be written \(--out\)"):
        Leases(tmp_path).take(spec, "cpu")


def test_what_owners_that_died_have_left_goes_with_the_next_one(tmp_path, specs):
    leases = Leases(tmp_path)
    with leases.take(specs[0], "cpu"):
        pass
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = (f".new-abc.{this_machine()}.{dead.pid}.tmp", f".{specs[1].id}.1.{this_machine()}.{dead.pid}.tmp")
    alive = f".new-abc.{this_machine()}.{os.getpid()}.tmp"
    for name in (*names, alive):
        (leases.folder / name).touch()
    leases.take(specs[1], "cpu")
    assert files(leases) == sorted([alive, f"{specs[0].id}.1", f"{specs[1].id}.1"])
    (leases.folder / names[0]).touch()
    leases.forget_finished({specs[0].id})
    assert files(leases) == sorted([alive, f"{specs[1].id}.1"])
