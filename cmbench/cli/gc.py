"""`cmbench gc`: removes what nobody needs any more from a folder of results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, Out


def gc(
    out: Out = DEFAULT_OUT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    unknown_suites: Annotated[
        bool,
        typer.Option(
            "--unknown-suites",
            help="Also the results of suites that neither ship, nor are a file of the current folder, nor are kept.",
        ),
    ] = False,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="SUITE", help="Not the results of this suite. Repeatable.")
    ] = None,
) -> None:
    """Remove checkpoints of finished runs, and what processes that died have left.

    Results go with --unknown-suites only. Nothing is touched of a run that somebody is at.
    """
    from cmbench.cli.units import bytes_text
    from cmbench.errors import UserError
    from cmbench.experiments.garbage import garbage_of
    from cmbench.experiments.garbage import unknown_suites as unknown
    from cmbench.experiments.store import ResultStore
    from cmbench.experiments.text import printable
    from cmbench.report.captions import plural

    if not out.is_dir():
        raise UserError(f"{out}: no such folder (--out)")
    store = ResultStore(out)
    known = [*(keep or ()), *(path.stem for pattern in ("*.yaml", "*.yml") for path in Path().glob(pattern))]
    unreadable: list[str] = []
    found = garbage_of(store, known, unreadable, unknown_suites=unknown_suites)
    for line in unreadable:
        print(f"cmbench: {printable(line)}; kept", file=sys.stderr)
    for each in found:
        verb = "would be removed" if dry_run else "removed"
        print(f"{each.reason}: {plural(len(each.files), 'file')}, {bytes_text(each.size)} {verb}")
        if dry_run:
            for file in each.files:
                print(f"  {printable(str(file))}")
        else:
            each.remove()
    if not found:
        print("nothing to remove")
    if not unknown_suites:
        for suite, count in unknown(store, known).items():
            print(f"{plural(count, 'result')} of '{suite}', which no suite here is called: kept; --unknown-suites")
