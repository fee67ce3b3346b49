"""`--on`: clusters that there are not, and options that do not go together."""

import sys

import pytest

TRAIN = ("train", "--suite", "digits", "--opt", "adam")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on", "pbs"), "--on pbs: accepted: slurm, ray, ray:ADDRESS"),
        (("--on", "slurm:host"), "--on slurm:host: accepted: slurm, ray, ray:ADDRESS"),
        (("--on", "ray:"), "--on ray:: accepted: slurm, ray, ray:ADDRESS"),
        (("--slurm", "array=2"), "--slurm: accepted: with --on slurm"),
        (("--on", "ray", "--slurm", "array=2"), "--slurm: accepted: with --on slurm"),
        (("--on", "slurm", "--jobs", "2"), "--jobs: --slurm array=N says how many runs at once with --on slurm"),
        (("--on", "ray", "--jobs", "2"), "--jobs: as many runs at once as there is room for on the cluster"),
        (("--on", "ray", "--devices", "cpu"), "--on ray: the cluster chooses the device of each run, not --devices"),
        (("--on", "ray", "--device", "cuda:1"), "--device cuda:1: accepted with --on ray: cpu, cuda"),
        (("--on", "slurm", "--device", "cuda"), "--device cuda: --slurm gpus=0 gives a run none"),
        (("--on", "slurm", "--slurm", "gpus=1", "--device", "cpu"), "--device cpu: --slurm gpus=1 gives a run a GPU"),
        (("--on", "slurm", "--slurm", "cpus=2", "--threads", "4"), "--threads 4: more than --slurm cpus=2"),
        (("--on", "slurm", "--slurm", "time=4h"), "--slurm time=4h: accepted: MIN, "),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments, message, cmbench):
    assert f"cmbench: {message}" in cmbench(*TRAIN, *arguments, code=2).stderr


def test_a_cluster_is_not_for_processes_that_train_together(cmbench, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    message = "cmbench: --on ray: not under torchrun, whose processes train each run together"
    assert message in cmbench(*TRAIN, "--on", "ray", code=2).stderr


@pytest.mark.parametrize(("on", "library", "name"), [("slurm", "submitit", "submitit"), ("ray", "ray", "Ray")])
def test_without_its_library_a_cluster_says_how_to_get_it(on, library, name, cmbench, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    message = f'cmbench: --on {on} needs {name}: pip install "cmbench[{on}]"'
    assert message in cmbench(*TRAIN, "--on", on, code=2).stderr
