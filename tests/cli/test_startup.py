"""The command answers at once, because it loads nothing that it does not need."""

import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "torchvision", "pandas", "scipy", "matplotlib", "plotly", "sklearn", "datasets")


@pytest.mark.parametrize("arguments", [["--help"], ["suites"], ["suites", "digits"], ["train", "--help"]])
def test_help_and_suites_load_nothing_heavy(arguments, tmp_path):
    code = (
        "import sys\n"
        "from cmbench.cli.main import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "libraries", "times"),
    [(["--help"], "typer, rich.table", 1.8), (["suites"], "typer, rich.console, pydantic.fields, yaml", 3.0)],
)
def test_help_and_suites_take_little_more_than_their_libraries(arguments, libraries, times, tmp_path):
    def seconds(*line):
        began = time.perf_counter()
        subprocess.run([sys.executable, *line], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    # In turns, and the fastest of each: the machine may be busy, the command may not be slow.
    pairs = [(seconds("-m", "cmbench", *arguments), seconds("-c", f"import {libraries}")) for _ in range(5)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    assert ours < times * theirs


def test_every_subcommand_explains_itself(cmbench):
    listed = cmbench("--help").stdout
    for command in ("toy", "train", "escape-ratio", "sharpness", "report", "suites"):
        assert command in listed
        assert "--help" in cmbench(command, "--help").stdout


def test_version(cmbench):
    import cmbench as package

    assert cmbench("--version").stdout == f"cmbench {package.__version__}\n"
