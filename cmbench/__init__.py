"""cmbench: a benchmark for optimizers that search for flat minima."""

__version__ = "0.1.0"
