# Everything lives in .venv. Plain `make` prints what there is.
PYTHON ?= python3
CAMPAIGN ?= 60
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# Those with optimizers of today need the extra `peers`.
suites_of = $(patsubst suites/%.yaml,--suite %,$(filter-out %_peers.yaml,$(shell grep -l '^kind: $(1)$$' suites/*.yaml)))
LANDSCAPES := toy escape-ratio convergence

# Training suites of which the data comes with a package.
EMBEDDED := wine digits digits_online pydoc

.PHONY: help demo landscapes $(LANDSCAPES) claims report test test-all campaign bench lint types docs clean

## help: print this list
help:
	@sed -n 's/^## \([a-z-]*\): */  make \1\t/p' Makefile | expand -t 20

## demo: install, train five optimizers on real images, print the table
demo: .venv/installed
	$(BIN)/cmbench train --suite digits

## landscapes: every experiment of the paper on analytic surfaces: tables, and figures in figures/
landscapes: .venv/installed
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(LANDSCAPES)

$(LANDSCAPES):
	@$(BIN)/cmbench $@ $(call suites_of,$@) --plot figures --quiet

## claims: what comes out of the paper on analytic surfaces, into README.md and docs/paper.md
claims: landscapes
	$(BIN)/cmbench report --claims --json | $(BIN)/python docs/claims.py

## report: all of that and the training that needs no download, as one page: build/report.html (tens of minutes)
report: landscapes
	for name in $(EMBEDDED); do $(BIN)/cmbench train --suite $$name --jobs auto --quiet || exit 1; done
	$(BIN)/cmbench sharpness --quiet
	$(BIN)/cmbench sharpness digits/adam digits/adam_cm --metric spectrum --examples 500 --set vectors=1 --quiet
	mkdir -p build
	$(BIN)/cmbench report --html build/report.html

## test: install what the tests need, run those that cover every module, in a few minutes
test: .venv/installed-dev
	$(PYTEST) -m "not long"

## test-all: the long ones as well
test-all: .venv/installed-dev
	$(PYTEST)

## campaign: attack what must not be lost, for an hour or CAMPAIGN=minutes, by chance or SEED=n, and print what survived
campaign: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaign --minutes $(CAMPAIGN) $(if $(SEED),--seed $(SEED))

## bench: what things take beside what they should, in minutes; what is missed is red
bench: .venv/installed-dev
	mkdir -p build/bench
	for name in optimizer_step trainer_overhead landscapes scale sharpness; do \
	    $(BIN)/python benchmarks/$$name.py --json build/bench/$$name.json || exit 1; done
	$(BIN)/python benchmarks/goals.py build/bench/*.json

## lint: what the code must look like
lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

## types: mypy in strict mode
types: .venv/installed-dev
	$(BIN)/mypy

## docs: build the documentation into site/, strictly
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

## clean: remove the environment and what was built
clean:
	rm -rf .venv build dist site

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch and torchvision are resolved in one call: each release of one fits one release of the other.
.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@
