"""The `cmbench` command, also as `python -m cmbench`, and so `torchrun -m cmbench`."""

import sys

from cmbench.cli.interrupts import HINT, as_keyboard_interrupt


def main() -> None:
    """Loads the command and runs it; an interrupt while it is loaded is one, and no traceback."""
    try:
        with as_keyboard_interrupt():
            from cmbench.cli.main import main as command
    except KeyboardInterrupt:
        print(f"cmbench: {HINT}", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
