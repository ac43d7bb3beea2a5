# Two commands: `make demo` shows the library at work, `make test` tests it. They need Python and make; `make` alone lists
# the others. `make test PYTHON=python3.12 VENV=.venv-3.12` is for another Python. tests/README.md says what's in which.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
BENCH = .venv-bench
FOREIGN = .venv-foreign
NODE_MODULES = $(patsubst %,tests/servers/%/node_modules/.package-lock.json,oidc mcp)
# More than there are cores, since many tests wait for time to pass.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 3)')
SUITE = -n $(WORKERS) --dist worksteal
# What decides about tokens: of frozen state, without a file, a key or a server.
HEART = $(wildcard $(patsubst %,tests/units/test_%.py,acquisition backoff calls decisions effects flight grants \
	landing merge source token tokens))

# niquests brings a fork of urllib3 that is put over urllib3 itself, which requests uses, unless it's told not to.
# tests/project/wheel.py runs with both ways.
export URLLIB3_NO_OVERRIDE = 1
export PIP_NO_BINARY = urllib3-future
# Programs would compile what they import, each time anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all suite suite-all simulations simulations-all lint types unit units rehearse rehearse-all release mutants docs figures bench fleet chaos foreign format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/demo.stamp ## the library at work: requests under load through expiry, revocation and an outage
	$(BIN)/python examples/demo.py

# What uses one core alone runs two at a time, and is shown once each is done; the suite has the machine for itself.
TWO_AT_A_TIME = $(MAKE) --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(VENV)/dev.stamp $(NODE_MODULES) ## what each change waits for: each test in the modes in which it can fail differently
	@$(TWO_AT_A_TIME) simulations types rehearse docs lint
	@$(MAKE) --no-print-directory suite

test-all: $(VENV)/dev.stamp $(NODE_MODULES) ## before a release: all modes, all Pythons, and the lines that are run
	@$(TWO_AT_A_TIME) simulations-all types rehearse-all docs lint
	@$(MAKE) --no-print-directory suite-all

simulations: $(VENV)/dev.stamp ## fleets in virtual time
	$(BIN)/python -m pytest tests/simulation

simulations-all: $(VENV)/dev.stamp ## more of them
	$(BIN)/python -m pytest tests/simulation --all-modes

suite: $(VENV)/dev.stamp $(NODE_MODULES) ## all tests but those, each in the modes in which it can fail differently
	$(BIN)/python -m pytest $(SUITE) --ignore tests/simulation

# Counting which lines are run takes three quarters of the time beyond, and says little of a change that its tests don't: so
# `make test` doesn't. What's beyond the narrow modes, or uses the package from outside, runs no line that nothing else does.
suite-all: $(VENV)/dev.stamp $(NODE_MODULES) ## the same in all modes, and the lines that they run
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SUITE) --ignore tests/simulation --lines counted
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python -m pytest $(SUITE) --ignore tests/simulation --lines uncounted --all-modes

lint: $(VENV)/dev.stamp ## how the code is written: ruff; and the schemas of what the hosting site reads
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.readthedocs .readthedocs.yaml

types: $(VENV)/dev.stamp ## the types: mypy and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

unit: $(VENV)/dev.stamp ## the heart: what decides about tokens, as tables; seconds
	$(BIN)/python -m pytest -n 2 $(HEART)

units: $(VENV)/dev.stamp ## all tables of the pure modules, and what no input may break
	$(BIN)/python -m pytest -n 2 tests/units

rehearse: $(VENV)/dev.stamp ## a release that's thrown away: distributions are built, checked, and tried once through on each Python
	$(BIN)/python -m tests.project.release --rehearse --brief

rehearse-all: $(VENV)/dev.stamp ## the same, with the core's tests on each Python
	$(BIN)/python -m tests.project.release --rehearse

release: $(VENV)/dev.stamp ## builds the distributions into dist/, checks them, and tests them on each Python
	$(BIN)/python -m tests.project.release

mutants: $(VENV)/dev.stamp ## which faults, put into copies of the package one at a time, no test or simulation notices
	$(BIN)/python -m tests.mutants

docs: $(VENV)/dev.stamp ## the documentation, in docs/_build/html/index.html
	$(BIN)/sphinx-build -q -W --keep-going -n -d docs/_build/doctrees docs docs/_build/html

figures: $(VENV)/dev.stamp ## measures the figures of docs/performance.md
	$(BIN)/python -m benchmarks --write docs/performance.md

# In an environment of its own, since it installs the peers.
bench: $(BENCH)/peers.stamp ## puts the same work through the peers, for docs/performance.md
	$(BENCH)/bin/python -m benchmarks.peers --write docs/performance.md

# In the same environment, since it draws a plot.
fleet: $(BENCH)/peers.stamp ## up to 10,000 programs on one store in virtual time, for docs/performance.md
	$(BENCH)/bin/python -m benchmarks.virtual_fleet --write docs/performance.md

chaos: $(VENV)/dev.stamp ## everything goes wrong for processes on one store, for some minutes
	$(BIN)/python -m benchmarks.chaos

# In an environment of its own, since it installs what those suites want.
foreign: $(FOREIGN)/suites.stamp ## the own test-suites of requests and httpx, with an auth object in each session and client
	$(FOREIGN)/bin/python -m tests.foreign

format: $(VENV)/dev.stamp ## formats the code, and mends what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## removes what these commands have made
	rm -rf $(VENV) $(BENCH) $(FOREIGN) $(dir $(NODE_MODULES)) .coverage* dist docs/_build

$(VENV)/pip.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oauth_auth needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/demo.stamp: $(VENV)/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --group demo --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --group dev --editable .
	touch $@

$(BENCH)/peers.stamp: benchmarks/peers/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oauth_auth needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt --editable ".[requests,httpx,httpx2,aiohttp,file,testing]"
	touch $@

$(FOREIGN)/suites.stamp: tests/foreign/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oauth_auth needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(FOREIGN)
	$(FOREIGN)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(FOREIGN)/bin/python -m pip install --quiet --requirement tests/foreign/requirements.txt --editable ".[requests,httpx,testing]"
	touch $@

# By the machine's npm, or by that of the group `dev`.
$(NODE_MODULES): %/node_modules/.package-lock.json: %/package-lock.json | $(VENV)/dev.stamp
	$(BIN)/python -m tests.servers.node_server $*
