"""The `cmbench` command: collects the subcommands and turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from cmbench.cli import (
    compare,
    convergence,
    data,
    doctor,
    escape_ratio,
    gc,
    new,
    optimizers,
    plan,
    report,
    sharpness,
    stop,
    suites,
    sweep,
    toy,
    train,
)
from cmbench.cli.interrupts import HINT, as_keyboard_interrupt
from cmbench.cli.streams import print_anywhere
from cmbench.errors import MissingResults, UserError
from cmbench.experiments.text import printable
from cmbench.version import VERSION

LONGEST_LINE = 1200
"""Characters of a message's line; of a longer one, which quotes what no person has written, its ends are shown."""

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

app = typer.Typer(
    name="cmbench",
    help="Benchmark optimizers that search for flat minima.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would take longer than the help
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cmbench {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


COMMANDS = (
    ("toy", toy.toy, "Run optimizers on a surface: where does each end?"),
    ("escape-ratio", escape_ratio.escape_ratio, "Count the starts that leave the sharp minimum."),
    ("convergence", convergence.convergence, "Compute best convergence rates of critical momenta."),
    ("train", train.train, "Train the optimizers of a suite."),
    ("plan", plan.plan, "Say where every run stands, and what the rest takes."),
    ("stop", stop.stop, "Ask running trainings to save and end."),
    ("gc", gc.gc, "Remove what nobody needs any more."),
    ("sweep", sweep.sweep, "Search for the best settings of each optimizer."),
    ("sharpness", sharpness.sharpness, "Measure the sharpness of trained models."),
    ("report", report.report, "Print results as tables, and the claims' verdicts."),
    ("compare", compare.compare, "Say what has regressed or improved."),
    ("optimizers", optimizers.optimizers, "List the optimizers, or what one can be told."),
    ("suites", suites.suites, "List the suites, or print one."),
    ("new", new.new, "Begin an optimizer, workload, surface or suite."),
    ("doctor", doctor.doctor, "Say what this machine offers; prove a resume."),
)
"""Each with what the list of commands says of it, short enough for a terminal of 80 columns."""
for name, command, line in COMMANDS:
    app.command(name, short_help=line)(command)
app.add_typer(data.app, name="data", short_help="List, check and download data sets.")


def main() -> None:
    """Entry point.

    Exit codes: 0 done, 1 a regression or an unmet claim, 2 the user's error, 3 a run failed, 4 results missing,
    70 a fault of ours, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        print_anywhere(stream)
    try:
        with as_keyboard_interrupt():
            app(standalone_mode=True)
    except MissingResults as error:
        _fail(error, 4)
    except UserError as error:
        _fail(error, 2)
    except SystemExit as end:
        if end.code == 130:  # what click makes of a KeyboardInterrupt
            print(HINT, file=sys.stderr)
        raise
    except KeyboardInterrupt:  # before or after what click looks after
        _fail(HINT, 130)
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # the names are the user's, and so is the disk
        if error.filename is None and error.errno not in _OF_THE_DISK:
            _fail_of_ours(error)
        _fail(": ".join(str(part) for part in (error.filename2 or error.filename, error.strerror) if part), 2)
    except MemoryError:
        _fail("not enough memory for what was asked for", 2)
    except Exception as error:
        _fail_of_ours(error)


def _fail_of_ours(error: Exception) -> NoReturn:
    _fail(f"a fault of cmbench, not yours: {type(error).__name__}: {error}\n{_kept(error)}", 70)


def _kept(error: Exception) -> str:
    """Writes the details to a file, and says where; where none can be written, the details themselves."""
    import platform
    import tempfile
    import traceback

    details = "".join(traceback.format_exception(error))
    about = f"cmbench {VERSION}, Python {platform.python_version()}: {' '.join(sys.argv[1:])}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="cmbench-fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(f"{about}\n\n{details}")
    except OSError:
        return details
    return f"please report it with {file.name}"


def _fail(message: object, code: int) -> NoReturn:
    for line in str(message).splitlines():
        shown = printable(line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} … {line[-300:]}")
        print(f"cmbench: {shown}", file=sys.stderr)
    sys.exit(code)
