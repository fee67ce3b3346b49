"""`cmbench stop`: asks every command that trains in a folder to save and end."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, Out

POLL_SECONDS = 0.2


def stop(
    out: Out = DEFAULT_OUT,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until all of them have ended.")] = True,
) -> None:
    """Ask whoever trains in the folder, on any machine, to save a checkpoint and end.

    Commands that are started afterwards go on from there.
    """
    from cmbench.errors import UserError
    from cmbench.experiments.lease import Leases
    from cmbench.report.captions import plural

    if not out.is_dir():
        raise UserError(f"{out}: no such folder (--out)")
    leases = Leases(out)
    live = {run: held.record for run, held in leases.all().items() if held.is_live}
    leases.ask_to_stop()
    if not live:
        print("no run is going on")
        return
    for record in live.values():
        at = f" at step {record.step}" + (f" of {record.total_steps}" if record.total_steps else "")
        print(f"{record.suite} {record.label} seed {record.seed} on {record.owner.host}, {record.device}{at}")
    print(f"{plural(len(live), 'run')} asked to stop")
    while wait and any(leases.is_held(run) for run in live):
        time.sleep(POLL_SECONDS)
    if wait:
        print("all have ended; cmbench plan says where each of them is")
