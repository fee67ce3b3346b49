"""The options that mean the same in every subcommand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Opt = Annotated[
    list[str] | None,
    typer.Option(
        "--opt",
        metavar="NAME",
        help="Only this optimizer: a label or name of the suite, or any registered one. Repeatable.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the suite, or a hyperparameter of every chosen optimizer. Repeatable.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results are kept.")]
Force = Annotated[bool, typer.Option("--force", help="Run again what is finished already.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the table and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable results on stdout, everything else on stderr.")]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="cpu|cuda|…", help="Where to compute. [default: a GPU if there is one]"),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where data sets are. [default: $CMBENCH_DATA, else a cache]"),
]
DEFAULT_OUT = Path("results")


def overrides(**options: Any) -> list[str]:
    """The options that were given, as `--set` assignments."""
    given = {key: value for key, value in options.items() if value is not None}
    return [f"{key}={list(value) if isinstance(value, (list, tuple)) else value}" for key, value in given.items()]
