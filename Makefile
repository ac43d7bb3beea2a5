# Two commands: `make demo` shows the library at work, `make test` runs everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
BENCH = .venv-bench
# One more than there are cores, since many tests wait for time to pass.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')

# niquests brings a fork of urllib3 that is put over urllib3 itself, which requests uses, unless it's told not to.
# tests/project/wheel.py runs with both ways.
export URLLIB3_NO_OVERRIDE = 1
export PIP_NO_BINARY = urllib3-future

.PHONY: demo test unit docs figures bench chaos format clean

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp tests/servers/oidc/node_modules/.package-lock.json
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(MAKE) --no-print-directory docs
	$(BIN)/python tests/project/wheel.py

# The tables of the pure modules: no server, no sleep, seconds in all.
unit: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/units -n 2

# The documentation, in docs/_build/html/index.html.
docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build -q -W --keep-going -n -d docs/_build/doctrees docs docs/_build/html

# Measures what the contract puts figures on, and writes its part of docs/performance.md.
figures: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --write docs/performance.md

# Puts the same work through the peers, in an environment of their own, and writes its part of the page and the plots.
bench: $(BENCH)/peers.stamp
	$(BENCH)/bin/python -m benchmarks.peers --write docs/performance.md

# Has everything go wrong for processes on one store, for some minutes: see benchmarks/chaos.
chaos: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.chaos

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(BENCH) tests/servers/oidc/node_modules .coverage* dist docs/_build

$(VENV)/pip.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oauth_auth needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/demo.stamp: $(VENV)/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --group demo --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@

$(BENCH)/peers.stamp: benchmarks/peers/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oauth_auth needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt --editable ".[requests,httpx,httpx2,file,testing]"
	touch $@

# Without npm the tests against oidc-provider are skipped, or fail where CI is set.
tests/servers/oidc/node_modules/.package-lock.json: tests/servers/oidc/package-lock.json
	if command -v npm >/dev/null; then cd tests/servers/oidc && npm ci --no-audit --no-fund --loglevel=error; fi
