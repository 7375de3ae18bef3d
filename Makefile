# Every target sets itself up from a clean checkout: Python 3.11 or newer and make are all it takes.
# Another interpreter: make test PYTHON=python3.13      Some tests only: make test ARGS="-k filters"

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help demo check test lint format types lab lab-down bench venv clean

help:
	@echo 'make demo       the console on the embedded machine; needs no Slurm, no service'
	@echo 'make test       every test'
	@echo 'make check      lint, format, types, import rules, tests'
	@echo 'make lab        a real Slurm on this machine (make lab-down ends it)'
	@echo 'make bench      measure start, keys, bytes and reads; writes tests/bench/results.json'
	@echo 'make venv       only the set-up, in .venv; make clean removes it'

demo: venv
	@$(BIN)/wacht demo $(ARGS)

check: lint format types test

test: venv
	$(BIN)/python -m pytest $(ARGS)

lint: venv
	$(BIN)/ruff check .

format: venv
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

lab:
	$(PYTHON) -m tests.lab up $(ARGS)

lab-down:
	$(PYTHON) -m tests.lab down $(ARGS)

bench: venv
	$(BIN)/python -m tests.bench $(ARGS)

# Costs 10 ms when nothing has changed.
venv:
	@sh tests/tools/venv.sh '$(PYTHON)'

clean:
	rm -rf .venv .stamps .mypy_cache .ruff_cache .pytest_cache .hypothesis
