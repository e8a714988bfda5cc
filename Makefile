# The targets are what CI runs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types cover docs faults bench bench-plots fleet picture build smoke clean

# The targets that OnRamp takes as they are; here they use the command of the virtual environment.
ONRAMP_ANALYTICS ?= $(BIN)/onramp-analytics
include onramp_analytics/integration/analytics.mk
$(filter analytics-%,$(MAKECMDGOALS)): $(READY)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## See everything work, on a throw-away checkout and a receiver on this machine
	@$(BIN)/onramp-analytics demo

test: $(READY) lint types ## Run every check and test
	@$(BIN)/pytest -n auto

lint: $(READY) ## Check the style and the layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports || { cat $(VENV)/lint-imports; exit 1; }

format: $(READY) ## Put the style right
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

types: $(READY) ## Check the types
	@$(BIN)/mypy --no-error-summary

# Some tests work as another user, who may not write in this folder.
cover: $(READY) ## Run the tests and show what they do not reach, the detached process counted
	@data=$$(mktemp -d) && chmod 1777 $$data && export COVERAGE_FILE=$$data/coverage; \
	$(BIN)/coverage run -m pytest -n auto && $(BIN)/coverage combine --quiet && $(BIN)/coverage report; \
	status=$$?; rm -rf $$data; exit $$status

docs: $(READY) ## Write what the documents take from the code: the man page, the completions, the catalogue
	@$(BIN)/python -m tools.generate

faults: $(READY) ## Break everything on purpose, and count what becomes of the events (half an hour)
	@$(BIN)/python -m tests.faults

bench: $(VENV)/.bench ## Measure what it costs, and write the tables of docs/performance.md (ten minutes; ARGS=--print)
	@$(BIN)/python -m tools.bench $(ARGS)

bench-plots: $(VENV)/.bench $(VENV)/.plots ## Measure, and draw what grows with the number of events into docs/img/
	@$(BIN)/python -m tools.bench --json $(VENV)/bench.json
	@$(BIN)/python -m tools.bench.plots $(VENV)/bench.json docs/img

picture: $(READY) ## Draw the README's picture from a real session
	@$(BIN)/python -m tools.picture docs/img/session.svg

fleet: $(VENV)/.plots ## Simulate what a fleet of hosts sends, and draw it into docs/img/ (some minutes)
	@$(BIN)/python -m tools.bench.fleet docs/img/fleet.svg

build: $(READY) ## Build the wheel and the sdist into dist/
	@$(BIN)/python -m build --outdir dist .

smoke: $(READY) ## Build, install into empty environments, and see it work there (some minutes)
	@$(BIN)/nox

clean: ## Delete what the targets made
	@rm -rf $(VENV) dist .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache

# The packages are installed again when pyproject.toml or the version changes; otherwise this costs nothing.
$(READY): pyproject.toml onramp_analytics/__init__.py
	@echo "Installing onramp-analytics and its tools into $(VENV) (once, about a minute) ..."
	@if command -v uv >/dev/null; then \
	    uv venv --quiet --allow-existing --python '>=3.10' $(VENV) && \
	    uv pip install --quiet --python $(BIN)/python --editable . --group dev; \
	else \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.12 ...")' && \
	    $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1' && \
	    $(BIN)/python -m pip install -qq --disable-pip-version-check --editable . --group dev; \
	fi
	@touch $@

# A dependency group of its own, for one target: $(VENV)/.GROUP
$(VENV)/.%: $(READY)
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --group $*; \
	else $(BIN)/python -m pip install -qq --disable-pip-version-check --group $*; fi
	@touch $@
