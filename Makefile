# Every target sets itself up from a clean checkout: Python 3.11 or newer and make are all it takes.
# Another interpreter: make test PYTHON=python3.13      Some tests only: make test ARGS="-k filters"

PYTHON ?= python3
ARGS ?=
MINUTES ?= 10
SECONDS ?= 60
BIN := .venv/bin
SUPPLY := .stamps/supply

export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

TEXTUAL ?=

.PHONY: help demo check test quick contracts lint format types lab lab-down bench soak fuzz mutants docs man wheel pyz lock sbom supply venv clean

help:
	@echo 'make demo       the console on the simulated cluster; needs no Slurm, no service'
	@echo 'make test       every test'
	@echo 'make quick      the tests of tests/unit, tests/ui and tests/contracts that are not slow: two minutes, between two edits'
	@echo 'make contracts  does Textual still do what wacht leans on; TEXTUAL=8.2.7: does that version'
	@echo 'make check      lint, format, types, import rules, tests'
	@echo 'make lab        a real Slurm on this machine (make lab-down ends it)'
	@echo 'make bench      measure start, keys, bytes, reads, and others beside; keeps tests/bench/results.json'
	@echo 'make soak       the same console for MINUTES=10: does it grow, does it stall; near, far, under faults and live'
	@echo 'make fuzz       every parser under bytes that nobody meant, SECONDS=60 each'
	@echo 'make mutants    break every rule of what decides and acts, one at a time: does a test fail? ARGS="undo targets"'
	@echo 'make docs       renew what docs/ takes from the code: pages, tables, docs/shell, the screenshots of the tour'
	@echo 'make man        renew docs/shell: the manual page and the completion of each shell'
	@echo 'make wheel      dist/wacht-*.whl and the sdist; the same tree gives the same bytes'
	@echo 'make pyz        dist/wacht-*.pyz: wacht and all it needs in one file; dist/wheels: the same as wheels'
	@echo 'make lock       renew requirements.lock: every dependency with its version and hashes'
	@echo 'make sbom       what is installed in .venv, as CycloneDX: dist/sbom.cdx.json'
	@echo 'make venv       only the set-up, in .venv; make clean removes it'

demo: venv
	@$(BIN)/wacht demo $(ARGS)

check: lint format types test

# Most tests wait for something: what needs a lab runs in one process for each release of Debian, everything else beside
# them, and what counts stalls last. A process that dies ends the run with the name of its test: xdist 3.8 would start
# another, deal it nothing and wait for ever (pytest-dev/pytest-xdist#1323, #1327, #1378).
test: venv
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -n 3 --dist loadgroup --max-worker-restart=0 -m 'not alone'
	$(BIN)/python -m pytest -m alone
else
	$(BIN)/python -m pytest $(ARGS)
endif

quick: venv
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadgroup -m 'not slow and not lab and not alone and not pty' tests/unit tests/ui tests/contracts $(ARGS)

# With TEXTUAL, in an environment that is removed afterwards. docs/textual.md says how Textual is upgraded.
contracts: venv
ifeq ($(strip $(TEXTUAL)),)
	$(BIN)/python -m pytest tests/contracts tests/unit/test_private_names.py $(ARGS)
else
	@sh tests/tools/contracts.sh '$(PYTHON)' '$(TEXTUAL)' $(ARGS)
endif

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

soak: venv
	$(BIN)/python -m tests.bench --part soak --part soak-far --part soak-faults --part soak-live --minutes $(MINUTES) $(ARGS)

fuzz: venv
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

# 20 minutes on two cores: run when a rule changes, not in CI.
mutants: venv
	$(BIN)/python -m tests.mutants $(ARGS)

docs: venv
	$(BIN)/python -m console.pages docs
	$(BIN)/python -m tests.tools.shots docs/tour

man: venv
	$(BIN)/python -m console.cli.shell_files docs/shell

wheel: venv
	@rm -f dist/wacht-*.whl dist/wacht-*.tar.gz
	$(BIN)/python -m hatchling build -d dist

pyz: wheel
	$(BIN)/python -m tests.tools.pyz dist/wacht-*.whl dist

lock: supply
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(SUPPLY)/bin/uv pip compile --quiet --upgrade --universal \
	    --python-version 3.11 --generate-hashes --group dev --output-file requirements.lock pyproject.toml

sbom: venv supply
	@mkdir -p dist
	$(SUPPLY)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
	    --output-file dist/sbom.cdx.json $(BIN)/python

supply:
	@test -x $(SUPPLY)/bin/cyclonedx-py || { $(PYTHON) -m venv $(SUPPLY) && \
	    $(SUPPLY)/bin/python -m pip install -qq --upgrade 'pip>=25.1' && \
	    $(SUPPLY)/bin/python -m pip install -qq --group supply; }

# Costs 10 ms when nothing has changed.
venv:
	@sh tests/tools/venv.sh '$(PYTHON)'

clean:
	rm -rf .venv .stamps .mypy_cache .ruff_cache .pytest_cache .hypothesis
