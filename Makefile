# Everything runs in .venv, made from requirements.lock, and made anew when the lock changes.
# A machine needs Python 3.11 or later with venv, git and make.

VENV   := .venv
BIN    := $(VENV)/bin
LOCKED := $(VENV)/.locked
STAMP  := $(VENV)/.installed
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Two workers: most tests wait for servers and disks, and more would only fight for the cores.
WORKERS ?= 2
ARGS    ?=
# Rounds of random faults in `make test-long`.
ROUNDS  ?= 100

.DEFAULT_GOAL := help
.PHONY: help setup venv check format test test-long faults compose-test docs demo lab bench lock clean

help: ## this list
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+)[a-z -]*:.*## /\1|/' | while IFS='|' read -r t d; do printf '  make %-13s %s\n' "$$t" "$$d"; done

setup venv: $(STAMP) ## the virtual environment in .venv

$(LOCKED): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later was found"; echo "hint: install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) || { echo "hint: on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(STAMP): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

check: $(STAMP) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## the tests; ARGS="-k name" picks some
	$(BIN)/pytest -n $(WORKERS) -m "not long" $(ARGS)

test-long: $(STAMP) faults ## the tests that take their time, after ROUNDS=100 rounds of faults
	$(BIN)/pytest -m long $(ARGS)

faults: $(STAMP) ## ROUNDS=100 rounds of random faults on a four-tier tree; SEED=n replays them
	$(BIN)/python -m tests.faults.rounds --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

compose-test: $(STAMP) ## compose.yaml built, started, cut and healed, where there is docker
	$(BIN)/pytest -rs -m long tests/deploy $(ARGS)

docs: $(STAMP) ## docs/cli.md and docs/schemas anew, from the code
	$(BIN)/python -m services.cli.reference
	$(BIN)/python -m bus.schemas

demo: $(STAMP) ## the main job, end to end; ARGS="--seed 7" replays a run
	$(BIN)/ote demo $(ARGS)

lab: $(STAMP) ## the demo's tree, kept running, with what to type next
	$(BIN)/ote lab up $(ARGS)

bench: $(STAMP) ## our speed against the raw limits; CASE=name runs one
	$(BIN)/python -m bench $(if $(CASE),--case $(CASE)) $(ARGS)

lock: $(STAMP) ## requirements.lock anew from pyproject.toml, for every platform
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --all-extras \
		--generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --output-file requirements.lock

clean: ## what was built, tested and cached, and .venv
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
