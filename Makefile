# Everything a person or CI runs. PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=/tmp/venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help install quickstart test lint endurance mutants benchmark clean

help:  ## list what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# the stamp is older than the files that decide what is installed: install again
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

install: $(VENV)/installed  ## make .venv with everything that use and development need

quickstart: install  ## run the shipped study of handwritten digits and write its report
	$(BIN)/nas search studies/digits.yaml
	$(BIN)/nas report studies/digits.yaml

lint: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types and tests with the coverage floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

endurance: install  ## the tests that kill, fuzz and wait at length (an hour or more)
	NAS_ENDURANCE=1 $(BIN)/pytest -m endurance -n 2 --dist worksteal

mutants: install  ## how many small changes of the code fail a test, and which do not (an hour)
	rm -rf mutants
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

benchmark: install  ## the performance claims, one after another
	set -e; for script in tests/benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## remove the virtual environment and caches, keep studies
	rm -rf $(VENV) mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
