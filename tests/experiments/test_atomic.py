"""What is written whole or not at all, and what is no file stays what it is."""

import os
import stat
import subprocess

import pytest

from cmbench.experiments.atomic import write_bytes
from cmbench.experiments.process import this_machine


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    write_bytes(pipe, b"content")
    assert reader.communicate(timeout=20)[0] == b"content"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_none_and_stays_what_it_was(tmp_path):
    (tmp_path / "folder" / "file").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "folder", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_standard_output_gets_a_page_and_stays_what_it_was(cmbench):
    cmbench("toy", "--suite", "levy", "--opt", "adam", "--starts", "2", "--steps", "3")
    done = cmbench.process("report", "--html", "/dev/stdout", "--suite", "levy", code=0)
    assert "<!doctype html>" in done.stdout.lower()
    assert not os.path.isfile("/dev/stdout") or os.path.islink("/dev/stdout")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    write_bytes(tmp_path / "file", b"before")
    monkeypatch.setattr("cmbench.experiments.atomic.os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_bytes(tmp_path / "file", b"after")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize("name", ["a**", "[ab]", "?"])
def test_a_name_is_no_pattern(name, tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    end = f"{this_machine()}.{dead.pid}.tmp"
    (tmp_path / f".{name}.html.{end}").touch()
    (tmp_path / f".a.html.{end}").touch()
    write_bytes(tmp_path / f"{name}.html", b"content")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.html", f".a.html.{end}"}
