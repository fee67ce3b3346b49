"""The `cmbench` command: collects the subcommands and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cmbench.cli import (
    compare,
    convergence,
    data,
    doctor,
    escape_ratio,
    new,
    optimizers,
    report,
    sharpness,
    suites,
    toy,
    train,
)
from cmbench.errors import MissingResults, UserError
from cmbench.version import VERSION

app = typer.Typer(
    name="cmbench",
    help="Benchmark optimizers that search for flat minima.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


app.command("toy")(toy.toy)
app.command("escape-ratio")(escape_ratio.escape_ratio)
app.command("convergence")(convergence.convergence)
app.command("train")(train.train)
app.command("sharpness")(sharpness.sharpness)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("optimizers")(optimizers.optimizers)
app.command("suites")(suites.suites)
app.add_typer(data.app, name="data")
app.command("new")(new.new)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point.

    Exit codes: 0 done, 1 a regression or an unmet claim, 2 the user's error, 3 a run failed, 4 results missing,
    130 interrupted.
    """
    try:
        app(standalone_mode=True)
    except MissingResults as error:
        _fail(error, 4)
    except UserError as error:
        _fail(error, 2)
    except SystemExit as end:
        if end.code == 130:  # what click makes of a KeyboardInterrupt
            hint = "the same command, without --force, goes on from there"
            print(f"interrupted; what was done is kept; {hint}", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(error: Exception, code: int) -> None:
    for line in str(error).splitlines():
        print(f"cmbench: {line}", file=sys.stderr)
    sys.exit(code)
