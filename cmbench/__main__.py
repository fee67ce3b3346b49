"""`python -m cmbench` (and so `torchrun -m cmbench`) is the `cmbench` command."""

from cmbench.cli.main import main

if __name__ == "__main__":
    main()
