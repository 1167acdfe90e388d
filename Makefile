# `make demo` does the main job, `make test` passes the tests; each creates what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
NIGHT ?= night

.PHONY: demo night test test-slow check lint types imports docs bench wheel-test clean help

help:           ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml setup.py
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "knightshift needs Python 3.11 or newer"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## both cells, a whole night each on the simulated scanner, and their reports
	$(BIN)/knightshift demo -o $(DEMO)

night: $(STAMP) ## a night of 11.5 h with every kind of fault, played through the queue, and its report in night/results/report
	$(BIN)/knightshift queue add overnight_t2 --queue $(NIGHT)/queue --scanner rehearsal --seed 1 --runs $(NIGHT)/runs \
		-o $(NIGHT)/results --on-failure "retry 8" --then report
	$(BIN)/knightshift run-queue --queue $(NIGHT)/queue --virtual-clock --until-idle
	$(BIN)/knightshift queue log --queue $(NIGHT)/queue

# A file is tested by one process, so that its costly fixtures are made once; the last files are short.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)  ## the default test suite, under five minutes on two cores
	$(BIN)/python -m pytest $(WORKERS)

test-slow: $(STAMP) ## the long campaigns
	$(BIN)/python -m pytest -m slow $(WORKERS) --timeout 1800

check: lint types imports test ## everything CI checks in the tree

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

docs: $(STAMP)  ## the documentation as a site in build/docs; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: $(STAMP) ## every benchmark, as tables with ratios
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

wheel-test: $(STAMP) ## build the wheel and test it in a clean environment
	bash .ci/test-wheel

clean:          ## remove what the targets made
	rm -rf $(VENV) build dist *.egg-info $(DEMO) $(NIGHT) .pytest_cache .mypy_cache .ruff_cache .hypothesis
