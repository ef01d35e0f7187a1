# Two commands are enough on a fresh machine: `make demo` and `make test`. Each makes what it needs.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONCE ?=
ONLY ?=
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench lock clean tools

help: ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.demo tools ## the main job on three sandbox machines; ONCE=1 ends after the results
	@$(BIN)/mj demo $(if $(ONCE),--once)

test: lint tools ## everything that must hold: lint, then all tests
	@$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.dev ## ruff, mypy strict, the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3

format: $(VENV)/.dev ## lay the code out
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev tools ## measure; ONLY=name for one of them; JSON lines
	@$(BIN)/python -m bench $(ONLY)

lock: $(VENV)/.dev ## resolve the locked requirements anew (needs uv)
	@sh tools/lock

tools: ## Debian packages that real nodes and their tests need, where they are missing
	@sh tools/system-packages

clean: ## forget the environment and all caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The environment: the locked packages first, then ours on top, as links to this checkout.
$(VENV)/.demo: requirements/server.lock requirements/build.lock pyproject.toml sdk/pyproject.toml
	@sh tools/environment $(PYTHON) $(VENV) requirements/server.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml sdk/pyproject.toml
	@sh tools/environment $(PYTHON) $(VENV) requirements/dev.lock
	@touch $@ $(VENV)/.demo
