"""Who is which process, and whether it lives."""

import os
import subprocess
import sys

from cmbench.experiments.process import Process, is_running, this_machine, this_process


def test_this_process_lives_and_another_of_its_number_would_not_be_it():
    own = this_process()
    assert own.is_here
    assert own.is_alive
    assert own.pid == os.getpid()
    assert not own.model_copy(update={"began": "1"}).is_alive


def test_a_process_that_was_killed_is_dead_before_anybody_has_asked_how_it_ended():
    code = "from cmbench.experiments.process import this_process; print(this_process().model_dump_json(), flush=True)"
    child = subprocess.Popen([sys.executable, "-c", f"{code}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other = Process.model_validate_json(child.stdout.readline())
    assert (other.machine, other.pid) == (this_machine(), child.pid)
    assert other.is_alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still listed
    assert not other.is_alive
    child.wait()
    assert not is_running(child.pid)


def test_of_a_process_elsewhere_nobody_can_tell():
    elsewhere = this_process().model_copy(update={"machine": "0" * 12, "pid": 2**22 + 1})
    assert not elsewhere.is_here
    assert elsewhere.is_alive
