# gsc_pipeline. `make demo` and `make test` need nothing but Python 3.11 to 3.14 and make.

PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
# Without the bytecode in files, each of the tests' many processes would compile the package again.
test coverage soak cluster: export PYTHONDONTWRITEBYTECODE =
# Three processes for two cores: many tests wait for another process.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help install demo up test coverage soak cluster check bench format docs site constraints clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

install: $(VENV)/.installed ## into .venv, nothing else

demo: $(VENV)/.installed ## sync made-up workspaces into a lake and show them
	@$(BIN)/gsc demo

# The instance's state stays out of the code: .dagster/ holds it, beside a link to dagster.yaml.
# Without a workspaces file of your own, the demonstration's workspaces are served.
up: $(VENV)/.installed ## Dagster's UI, daemon and schedule, on port 3000 (PORT=…)
	@mkdir -p .dagster && ln -sfn ../dagster.yaml .dagster/dagster.yaml
	@if [ -n "$$GSC_WORKSPACES_FILE" ] || [ -e workspaces.yaml ]; \
	then DAGSTER_HOME="$(CURDIR)/.dagster" exec $(BIN)/dagster dev --workspace workspace.yaml --port $(PORT); \
	else DAGSTER_HOME="$(CURDIR)/.dagster" exec $(BIN)/python -m gsc_pipeline.demo dagster dev --workspace workspace.yaml --port $(PORT); \
	fi

test: $(VENV)/.installed-dev ## the tests that a change needs, in minutes
	@$(PYTEST) -m "not soak"

coverage: $(VENV)/.installed-dev ## the same tests with branch coverage, which takes a third more
	@$(PYTEST) -m "not soak" --cov --cov-report=term

# `make soak SOAK="soak and not slow"` leaves out those that take minutes each, as .ci/run does.
SOAK ?= soak

soak: $(VENV)/.installed-dev ## the long tests: three days, backfills, every case of a matrix
	@$(PYTEST) -m "$(SOAK)"

cluster: $(VENV)/.installed-dev ## a tick on two Celery workers, PostgreSQL, Redis and a bucket (needs redis-server)
	@$(BIN)/python -m gsc_pipeline_tests.cluster

check: $(VENV)/.installed-dev ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.installed-dev ## measure speed and memory, write benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks

format: $(VENV)/.installed-dev ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed-dev ## write the tables of settings and columns into docs/
	@$(BIN)/python -m gsc_pipeline_tests.docs

site: $(VENV)/.installed-dev ## build the documentation as a site with search into build/site
	@$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/site
	@echo "build/site/index.html"

constraints: ## lock the newest versions that fit pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
		-o constraints.txt --no-emit-index-url --no-header

clean: ## remove the environment, the demonstration, the local instance and kept figures
	rm -rf $(VENV) data/demo .dagster .benchmarks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
		|| { echo "gsc_pipeline needs Python 3.11 to 3.14: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Making $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing gsc_pipeline (once, a minute or two)"
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need (once)"
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@
