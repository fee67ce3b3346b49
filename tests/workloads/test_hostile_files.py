"""Data sets that come as pickles: nothing in them is run, and only the published files are read."""

import os
import pickle

import numpy as np
import pytest

from cmbench.workloads import array_pickle


class Hostile:
    """Unpickled by `pickle.load`, it creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("unverified", ["", "1"])
def test_code_in_a_data_file_does_not_run(cmbench, monkeypatch, unverified):
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", unverified)
    folder, trace = cmbench.folder / "cifar-10-batches-py", cmbench.folder / "it_ran"
    folder.mkdir()
    for i in range(1, 6):
        (folder / f"data_batch_{i}").write_bytes(pickle.dumps(Hostile(trace), protocol=2))
    done = cmbench("data", "check", "cifar10", "--data-dir", cmbench.folder, code=2)
    assert not trace.exists()
    assert "Traceback" not in done.stderr
    if unverified:
        assert "not the published file, and is read all the same" in done.stderr
        assert "posix.system" in done.stderr
    else:
        assert "data_batch_1" in done.stderr
        assert "accepted: c99cafc152244af753f735de768cd75f" in done.stderr


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_and_plain_values_of_any_protocol_are_read(protocol):
    content = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2.5, None], "mean": np.float64(0.25)}
    read = array_pickle.loads(pickle.dumps(content, protocol=protocol))
    assert read.keys() == content.keys()
    assert (read[b"data"] == content[b"data"]).all()
    assert (read["labels"], read["mean"]) == (content["labels"], content["mean"])


@pytest.mark.parametrize("value", [print, pickle.Unpickler, Hostile, np.load])
def test_functions_and_classes_are_refused(value):
    with pytest.raises(pickle.UnpicklingError, match=value.__name__):
        array_pickle.loads(pickle.dumps({"data": value}))
