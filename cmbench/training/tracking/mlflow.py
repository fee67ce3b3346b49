"""`--track mlflow`: runs as MLflow shows them, on a server or in a local database."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cmbench.experiments.locked import locked
from cmbench.experiments.result import Status
from cmbench.training.tracking.base import Board, Conclusion, Tracked, Tracker, text_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "cmbench"
RUN, SUITE, STATUS, ERROR = (f"cmbench.{name}" for name in ("run", "suite", "status", "error"))
"""The tags of a run."""
_SHOWN: dict[Status, str] = {
    "completed": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_MOST_PARAMS = 100
"""In one request."""
_SQLITE = "sqlite:///"
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""For the environment: a server that is gone is given up within seconds, and nothing is said."""


@dataclass(frozen=True)
class MLflow(Tracker):
    """A run of MLflow for each of ours, found again by its tag; `MLFLOW_EXPERIMENT_NAME` says in which experiment.

    `where` is a tracking URI, a database's file (`.db`), or a folder for one; by default what MLflow itself takes.
    """

    name: ClassVar[str] = "mlflow"
    accepted: ClassVar[str] = "a tracking URI, a .db file, or a folder"

    @property
    def packages(self) -> tuple[str, ...]:
        local = not re.match(r"https?:|file:|databricks", self.where or os.environ.get("MLFLOW_TRACKING_URI", ""))
        return ("mlflow", *(("sqlalchemy", "alembic") if local else ()))

    @property
    def uri(self) -> str | None:
        """The tracking URI; None for MLflow's default."""
        if not self.where or re.match(r"[\w+.-]+:|databricks", self.where):
            return self.where or None
        path = Path(self.where).absolute()
        return f"{_SQLITE}{path if path.suffix == '.db' else path / 'mlflow.db'}"

    def open(self, run: Tracked) -> Board:
        client = _client(self.uri)
        experiment = _experiment(client)
        found = _found(client, experiment, run)
        if found is None:
            tags = {RUN: run.spec.id, SUITE: run.spec.suite.name}
            found = client.create_run(experiment, tags=tags, run_name=run.spec.title)
        else:
            client.update_run(found.info.run_id, status="RUNNING")
        client.set_tag(found.info.run_id, STATUS, "running")
        _log_params(client, found, run)
        return _Board(client, found)


def _client(uri: str | None) -> MlflowClient:
    """MLflow's client, which says nothing; it makes the tables of a new database, as only one process may."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, get_tracking_uri

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = uri or get_tracking_uri()
    if not uri.startswith(_SQLITE):
        return MlflowClient(uri)
    file = Path(uri.removeprefix(_SQLITE))
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file):
        return MlflowClient(uri)


def _experiment(client: MlflowClient) -> str:
    """The experiment's id; made where there is none of that name."""
    from mlflow.exceptions import MlflowException

    if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return number
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    for last in (False, True):
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process may have been quicker
            if last:
                raise
    raise AssertionError


def _found(client: MlflowClient, experiment: str, run: Tracked) -> Run | None:
    """The newest run of MLflow for this one, unless that has come to its end and this one begins from nothing."""
    which = f"tags.`{RUN}` = '{run.spec.id}'"
    for found in client.search_runs([experiment], which, max_results=1, order_by=["attributes.start_time DESC"]):
        if run.resumes or found.data.tags.get(STATUS) not in ("completed", "diverged"):
            return found
    return None


def _log_params(client: MlflowClient, found: Run, run: Tracked) -> None:
    """Those that are not there: MLflow lets none be changed."""
    from mlflow.entities import Param

    values = {_name(name): text_of(value) for name, value in run.settings.items()}
    params = (Param(name, value) for name, value in values.items() if name not in found.data.params)
    while some := list(islice(params, _MOST_PARAMS)):
        client.log_batch(found.info.run_id, params=some)


class _Board(Board):
    def __init__(self, client: MlflowClient, run: Run) -> None:
        self._client, self._run = client, run.info.run_id
        self._last = {
            name: max(point.step for point in client.get_metric_history(self._run, name)) for name in run.data.metrics
        }

    def write(self, step: int, values: Mapping[str, float]) -> None:
        new = {name: value for name, value in values.items() if step > self._last.get(_name(name), -1)}
        if new:
            self._log(step, new)

    def end(self, step: int, conclusion: Conclusion | None) -> None:
        if conclusion is None:
            return
        self._log(step, conclusion.values)
        self._client.set_tag(self._run, STATUS, conclusion.status)
        if conclusion.error:
            self._client.set_tag(self._run, ERROR, conclusion.error)
        self._client.set_terminated(self._run, _SHOWN[conclusion.status])

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(
            self._run, metrics=[Metric(_name(name), value, now, step) for name, value in values.items()]
        )


def _name(name: str) -> str:
    """A name as MLflow accepts it."""
    return re.sub(r"[^\w\-. :/]", "_", name)
