"""`--slurm`: what it takes, and what it says of what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.training.engines.slurm_options import SlurmOptions, parse_slurm, seconds_of


def test_keys_become_what_sbatch_and_the_runs_take():
    found = parse_slurm(["partition=gpu,time=4:00:00,gpus=a100:1,array=16", "cpus=4,mem=16G"])
    sbatch = {"partition": "gpu", "time": "4:00:00", "mem": "16G"}
    assert found == SlurmOptions(cpus=4, gpus="a100:1", array=16, sbatch=sbatch)
    assert found.device == "cuda"
    assert parse_slurm([]) == SlurmOptions()
    assert SlurmOptions().device == parse_slurm(["gpus=0"]).device == "cpu"


def test_a_part_without_a_key_belongs_to_the_value_before_it():
    assert parse_slurm(["nodelist=n1,n[3-4],qos=long"]).sbatch == {"nodelist": "n1,n[3-4]", "qos": "long"}


def test_the_shell_gets_the_rest_of_its_line():
    assert parse_slurm(["array=2,setup=export A=1,2; module load cuda"]).setup == "export A=1,2; module load cuda"


def test_a_short_time_limit_leaves_half_of_itself_for_training():
    assert parse_slurm(["time=1"]).signal_delay == 30
    assert parse_slurm(["time=1:00:00"]).signal_delay == 90
    assert parse_slurm(["time=1,signal_delay=50"]).signal_delay == 50


@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_are_slurms(days, hours, minutes, seconds):
    clock = (days * 24 + hours) * 3600 + minutes * 60 + seconds
    assert seconds_of(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == clock
    assert seconds_of(f"{days}-{hours}:{minutes}") == clock - seconds
    assert seconds_of(f"{days}-{hours}") == clock - seconds - 60 * minutes
    assert seconds_of(f"{days * 24 + hours}:{minutes}:{seconds}") == clock
    assert seconds_of(f"{minutes}:{seconds:02}") == minutes * 60 + seconds
    assert seconds_of(f"{minutes}") == minutes * 60


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gpu", "--slurm gpu: accepted: KEY=VALUE,…"),
        ("partion=gpu", "--slurm: unknown key 'partion': did you mean 'partition'? accepted: partition, "),
        ("time=4h", "--slurm time=4h: accepted: MIN, MIN:SEC, H:MIN:SEC, D-H, D-H:MIN or D-H:MIN:SEC, more than 0"),
        ("time=0", "--slurm time=0: accepted: MIN"),
        ("gpus=2", "--slurm gpus=2: accepted: 0, 1 or TYPE:1: a run trains on one"),
        ("array=0", "--slurm array=0: accepted: a number >= 1"),
        ("cpus=two", "--slurm cpus=two: accepted: a number >= 1"),
        ("mem=lots", "--slurm mem=lots: accepted: a size, as 16G"),
        ("partition=", "--slurm partition=: accepted: a name"),
    ],
)
def test_what_it_does_not_take_is_named(given, message):
    with pytest.raises(UserError) as error:
        parse_slurm([given])
    assert str(error.value).startswith(message)
