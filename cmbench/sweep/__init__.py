"""Sweeps: studies of Optuna's whose trials are runs of the store, with the same budget for every optimizer."""
