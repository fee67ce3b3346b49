# The two commands of the README, and the figures. Everything lives in .venv.
PYTHON ?= python3
BIN := .venv/bin

suites_of = $(patsubst suites/%.yaml,--suite %,$(shell grep -l '^kind: $(1)$$' suites/*.yaml))
LANDSCAPES := toy escape-ratio convergence

.PHONY: demo landscapes $(LANDSCAPES) test lint clean

## demo: install, train five optimizers on real images, print the table
demo: .venv/installed
	$(BIN)/cmbench train --suite digits

## landscapes: every experiment of the paper on analytic surfaces: tables, and figures in figures/
landscapes: .venv/installed
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(LANDSCAPES)

$(LANDSCAPES):
	@$(BIN)/cmbench $@ $(call suites_of,$@) --plot figures --quiet

## test: install what the tests need, run them
test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

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
