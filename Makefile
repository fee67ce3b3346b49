# The two commands of the README, and the figures. Everything lives in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

## demo: install, train five optimizers on real images, print the table
demo: .venv/installed
	$(BIN)/cmbench train --suite digits

## test: install what the tests need, run them
test: .venv/installed-dev
	$(BIN)/python -m pytest

## lint: what the code must look like
lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch and torchvision are resolved in one call: each release of one fits one release of the other.
.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist
