# Everything that people and CI run. You can set PYTHON and VENV: make test PYTHON=python3.12 VENV=/tmp/venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# the tests start many processes, and each would compile nas anew
export PYTHONDONTWRITEBYTECODE =

.PHONY: help install quickstart test lint style types tests coverage endurance mutants benchmark pictures release clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# the stamp is older than the files that decide what is installed: install again
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[dev]'
	# pip compiles on one core, and the tests of all packages too; some files are for other versions of Python
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib
	touch $@

install: $(VENV)/installed  ## create .venv with everything you need to use and develop nas

quickstart: install  ## run the study of handwritten digits and write its report
	$(BIN)/nas search studies/digits.yaml
	$(BIN)/nas report studies/digits.yaml

lint: style types  ## run ruff and mypy

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

test: style  ## run lint, type checks and tests
	$(MAKE) --no-print-directory -j 2 types tests  # mypy has use for one core only

tests: install
	$(BIN)/pytest -n 3 --dist worksteal

coverage: install  ## run the tests and require enough coverage (a third more time)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

endurance: install  ## run the long tests that kill, fuzz and wait (an hour or more)
	NAS_ENDURANCE=1 $(BIN)/pytest -m endurance -n 2 --dist worksteal

mutants: install  ## find small changes of the code that no test notices (an hour)
	rm -rf mutants
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

pictures: install  ## draw the pictures of the README from committed results (needs Chromium)
	$(BIN)/python docs/pictures.py

release: install  ## build, install into bare environments, run the README's commands there (half an hour, several GB)
	$(PIP) uv
	$(BIN)/python tests/release/try_release.py

benchmark: install  ## measure the performance claims, one after another
	set -e; for script in tests/benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## remove the virtual environment and caches, but keep studies
	rm -rf $(VENV) mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
