# Two commands do everything on a machine that has Python >= 3.11 and make: `make demo` and `make test`.
# Each makes its own virtual environment in .venv; nothing is installed outside it.

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types check verify verify-all generate diagram bench dist clean

help:                ## what can be made
	@grep -hE '^[a-z-]+: .*## |^[a-z-]+:  +## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

demo: $(VENV)/ready  ## an interrupted phone call, end to end, on local sockets
	@$(BIN)/bargein demo

test: $(VENV)/ready-dev  ## all tests
	@$(BIN)/pytest -q

lint: $(VENV)/ready-dev  ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/ready-dev  ## mypy --strict
	@$(BIN)/mypy

check: $(VENV)/ready  ## tables, generated adapters and drawings agree
	@$(BIN)/bargein check && $(BIN)/bargein generate --check && $(BIN)/bargein diagram --check

verify: $(VENV)/ready  ## every interleaving within bounds: every provider on a carrier, openai on every one
	@$(BIN)/bargein verify --jobs $(JOBS)
	@$(BIN)/bargein verify openai --transport all --jobs $(JOBS)

verify-all: $(VENV)/ready  ## the same for every provider on every carrier: half an hour
	@$(BIN)/bargein verify --transport all --jobs $(JOBS)

generate: $(VENV)/ready  ## tables to adapters, schema and drawings
	@$(BIN)/bargein generate && $(BIN)/bargein diagram

bench: $(VENV)/ready-dev  ## ratios against the official SDK, transitions and a raw relay; writes docs/performance.md
	@$(BIN)/python benchmarks/run.py --write-docs

dist: $(VENV)/ready-dev  ## sdist and wheel in dist/
	@rm -rf dist && $(BIN)/python -m build --quiet

clean:               ## remove what make made
	@rm -rf $(VENV) dist build *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "bargein needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which one: make PYTHON=python3.12 ...")'
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python's venv module is missing or broken; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/ready: pyproject.toml | $(VENV)/made
	@echo "installing bargein into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/ready-dev: pyproject.toml | $(VENV)/made
	@echo "installing bargein and its development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/ready
