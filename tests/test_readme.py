"""What the README shows is true: its script runs, its suite resolves and runs, its commands and folders exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language):
    """The contents of the fenced blocks in that language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("script", block("python"))
def test_its_scripts_run(script, tmp_path):
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_suite_is_trained(cmbench):
    (suite,) = block("yaml")
    (cmbench.folder / "mine.yaml").write_text(suite)
    done = cmbench("train", "--suite", "mine.yaml", "--set", "epochs=1", "--seeds", "1")
    assert "adam_cm C=20" in {result["optimizer"]["label"] for result in cmbench.results()}
    assert "How much does the buffer's size matter?" in done.stdout


def test_its_commands_and_suites_exist(cmbench):
    for line in re.findall(r"^\$ cmbench (.*?)\s*(?:#.*)?$", README, re.MULTILINE):
        command, *arguments = line.split()
        accepted = cmbench(command, "--help").stdout
        for word in arguments:
            assert not word.startswith("--") or word in accepted
        for name in re.findall(r"--suite (\w+)", line):
            assert "kind: " in cmbench("suites", name).stdout


def test_its_folders_exist():
    folders = re.findall(r"^\| `([\w/]+)` \|", README, re.MULTILINE)
    assert len(folders) >= 10
    assert all((Path(__file__).parents[1] / folder).is_dir() for folder in folders)
