# Two commands are enough on a fresh machine: `make demo` and `make test`. Each makes what it needs.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONCE ?=
ONLY ?=
TESTS ?= tests
# Test files at once: most of their time they wait.
WORKERS ?= 3
SECONDS ?= 180
MINUTES ?= 60
DATABASE ?= sqlite
SEED ?=
N ?=

.DEFAULT_GOAL := help
.PHONY: help demo test web screenshots soak-page chaos fuzz audit lint format bench peers lock tools test-tools clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo tools web ## the main job on three sandbox machines; ONCE=1 ends after the results
	@$(BIN)/mj demo $(if $(ONCE),--once)

test: lint test-tools web ## everything that must hold: lint, then all tests
	@$(BIN)/python tools/run-tests -n $(WORKERS) --dist loadfile $(TESTS)

chaos: $(VENV)/.dev test-tools ## real machines under random faults; SECONDS=900 DATABASE=sqlite|mariadb|postgresql SEED=…
	@$(BIN)/python -m tests.chaos.run --seconds $(SECONDS) --database $(DATABASE) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.dev ## look for requests that break the API, for ten minutes
	@MJ_FUZZ_S=600 $(BIN)/python -m pytest tests/unit/test_web_schema.py tests/unit/test_web_stateful.py --timeout 3600

audit: $(VENV)/.dev ## known holes in the locked packages; says what it could not check, and then fails
	@$(BIN)/python tools/audit

web: $(VENV)/.demo ## build the dashboard, unless it is built; MJ_SKIP_WEB=1 leaves it out
	@$(BIN)/python hatch_build.py

screenshots: $(VENV)/.dev test-tools web ## of the dashboard, into docs/screenshots; those that the docs show into docs/pictures
	@$(BIN)/python -m tests.browser.screenshots docs/screenshots docs/pictures

soak-page: $(VENV)/.dev test-tools web ## leave pages open while things change, and watch their memory; MINUTES=60
	@$(BIN)/python -m tests.browser.soak --minutes $(MINUTES)

lint: $(VENV)/.dev ## ruff, mypy strict, the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@$(BIN)/python tools/secrets
	@$(BIN)/python tools/licences

format: $(VENV)/.dev ## lay the code out
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev tools ## measure, JSON lines, half an hour; ONLY=name,… some of it (ONLY=? lists), N=… how many
	@$(if $(N),N=$(N)) $(BIN)/python -m bench '$(ONLY)'

peers: ## what the bench compares us with: GNU parallel, Celery with Redis, apart from our own packages
	@sh tools/system-packages peers
	@$(PYTHON) -m venv bench/.peers && bench/.peers/bin/pip install --quiet 'celery[redis]>=5.5,<6'

lock: $(VENV)/.dev ## resolve the locked requirements anew (needs uv)
	@sh tools/lock

tools: ## Debian packages that real nodes need, where they are missing
	@sh tools/system-packages

test-tools: ## those, and the ones that only tests need: databases, shells, a browser
	@sh tools/system-packages tests

clean: ## forget the environment and all caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The environment: the locked packages first, then ours on top, as links to this checkout.
$(VENV)/.demo: requirements/server.lock requirements/build.lock pyproject.toml sdk/pyproject.toml
	@sh tools/environment $(PYTHON) $(VENV) requirements/server.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml sdk/pyproject.toml
	@sh tools/environment $(PYTHON) $(VENV) requirements/dev.lock
	@touch $@ $(VENV)/.demo
