"""`cmbench train --on ray` on a cluster of two nodes: what it gives when one of them dies, and how it is stopped."""

from importlib.util import find_spec

import pytest

from cmbench.experiments.process import is_running
from tests.training.engines.watched import LONG, SHORT, Watched, outcomes

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="no Ray here: pip install 'cmbench[ray]'"),
]


@pytest.fixture
def nodes(monkeypatch):
    """A cluster of two nodes with one CPU each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.second = cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_when_a_node_dies_its_run_goes_on_on_another_one(nodes, cmbench):
    line = [*LONG, "--seeds", "3"]
    command = Watched(cmbench.line(*line, "--on", f"ray:{nodes.address}"), cmbench.folder)
    command.until(lambda: len(command.checkpoints()) == 2)
    nodes.remove_node(nodes.second, allow_graceful=False)
    command.ended()
    (twice,) = [leases for leases in command.leases.values() if len(leases) == 2]
    first, second = twice[1].owner, twice[2].owner
    assert first != second
    assert not is_running(first.pid, first.began)
    assert twice[2].began_at_step > 0
    assert sorted(len(leases) for leases in command.leases.values()) == [1, 1, 2]
    there = outcomes(cmbench.folder / "results")
    cmbench(*line, "--out", "here")
    assert there == outcomes(cmbench.folder / "here")
    assert len(there) == 3


def test_ctrl_c_saves_what_runs_and_cancels_what_waits(nodes, cmbench):
    command = Watched(cmbench.line(*LONG, "--seeds", "3", "--on", f"ray:{nodes.address}"), cmbench.folder)
    command.until(lambda: len(command.checkpoints()) == 2)
    command.interrupt()
    assert "interrupted; what was done is kept" in command.ended(130)
    statuses = [status for status, *_ in outcomes(cmbench.folder).values()]
    assert statuses == ["interrupted", "interrupted"]


def test_without_a_cluster_one_is_started_here(cmbench, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = cmbench.process(*SHORT, "--on", "ray", "--out", "there", "--json")
    cmbench(*SHORT, "--out", "here")
    there, here = (outcomes(cmbench.folder / out) for out in ("there", "here"))
    assert there == here
    assert len(there) == 2
    assert done.stdout.startswith("[")
    assert "raylet" not in done.stderr


def test_a_cluster_that_is_not_there_is_said(cmbench):
    done = cmbench.process(*SHORT, "--on", "ray:127.0.0.1:1", code=2)
    assert "cmbench: --on ray:127.0.0.1:1: " in done.stderr
    assert "Traceback" not in done.stderr
