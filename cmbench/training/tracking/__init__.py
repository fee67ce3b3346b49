"""Showing runs at trackers as they go on: `--track mlflow`, `wandb` or `tensorboard`."""
