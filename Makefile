# The targets are what CI runs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types cover docs faults bench bench-plots demo-results sample-results axe fleet picture constraints build smoke clean

# The targets that OnRamp takes as they are; here they use the command of the virtual environment.
ONRAMP_ANALYTICS ?= $(BIN)/onramp-analytics
include onramp_analytics/integration/analytics.mk
$(filter analytics-%,$(MAKECMDGOALS)): $(INSTALLED)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Try everything in a temporary checkout, with a local server in place of PostHog
	@$(BIN)/onramp-analytics demo

test: $(VENV)/.results lint types ## Run every check and test
	@$(BIN)/pytest -n auto

lint: $(READY) ## Check the style, the layers and the workflows
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports || { cat $(VENV)/lint-imports; exit 1; }
	@$(BIN)/zizmor --offline --quiet --no-progress .github > $(VENV)/zizmor || { cat $(VENV)/zizmor; exit 1; }

format: $(READY) ## Correct the style
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

types: $(READY) ## Check the types
	@$(BIN)/mypy --no-error-summary

# Some tests work as another user, who is not allowed to write in this folder.
cover: $(VENV)/.results ## Run the tests and show the lines that they do not reach
	@data=$$(mktemp -d) && chmod 1777 $$data && export COVERAGE_FILE=$$data/coverage; \
	$(BIN)/coverage run -m pytest -n auto && $(BIN)/coverage combine --quiet && $(BIN)/coverage report; \
	status=$$?; rm -rf $$data; exit $$status

docs: $(READY) ## Write what the documents take from the code: the man page, the completions, the catalog
	@$(BIN)/python -m tools.generate

faults: $(READY) ## Inject every fault, and count what becomes of the events (an hour)
	@$(BIN)/python -m tests.faults

bench: $(VENV)/.bench ## Measure what it costs, and write the tables of docs/performance.md (ten minutes; ARGS=--print)
	@$(BIN)/python -m tools.bench $(ARGS)

bench-plots: $(VENV)/.bench $(VENV)/.plots ## Measure, and draw the results into docs/img/
	@$(BIN)/python -m tools.bench --json $(VENV)/bench.json
	@$(BIN)/python -m tools.bench.plots $(VENV)/bench.json docs/img

demo-results: $(VENV)/.results ## See the results page of simulated installations, without an account (ARGS=DIR)
	@$(BIN)/python -m tools.results.demo $(ARGS)

sample-results: $(VENV)/.results ## Draw the pictures of the sample page into docs/img/ (needs Chromium)
	@$(BIN)/python -m tools.results.sample docs/img

axe: $(READY) ## Get axe-core from the npm registry, for the tests of the pages in a browser
	@npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(VENV)/axe axe-core@4

picture: $(READY) ## Draw the README's picture from a real session
	@$(BIN)/python -m tools.picture docs/img/session.svg

fleet: $(VENV)/.plots ## Simulate what up to a million hosts send, and draw it into docs/img/ (some minutes)
	@$(BIN)/python -m tools.bench.fleet docs/img/fleet.svg

constraints: $(READY) ## Refresh the versions in constraints.txt
	@$(BIN)/nox --session constraints

build: $(READY) ## Build the wheel and the sdist into dist/
	@$(BIN)/python -m build --outdir dist .

smoke: $(READY) ## Build, install into empty environments, and test the result (some minutes)
	@$(BIN)/nox

clean: ## Delete what the targets created
	@rm -rf $(VENV) dist .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache

# Two sizes of environment: the package alone ($(INSTALLED)), and with the tools for development ($(READY)).
# constraints.txt names the version of each, so that two checkouts run the same. Both are installed again when a file
# that names what to install changes. uv is used if it is there, else pip.
USES_UV := $(shell command -v uv)
UV_PYTHON := $(if $(filter-out default file,$(origin PYTHON)),$(PYTHON),>=3.10)
ifneq ($(USES_UV),)
INSTALL := uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
else
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
endif

$(INSTALLED): pyproject.toml constraints.txt onramp_analytics/__init__.py
	@echo "Installing onramp-analytics into $(VENV) (once, some seconds) ..."
ifneq ($(USES_UV),)
	@uv venv --quiet --allow-existing --python '$(UV_PYTHON)' $(VENV)
else
	@command -v $(PYTHON) > /dev/null || { echo >&2 "$(PYTHON) was not found: install Python 3.10 or later, or name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo >&2 "$(PYTHON) cannot create a virtual environment: run \"sudo apt-get install python3-venv\", or install uv."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
endif
	@$(INSTALL) --editable .
	@touch $@

# pip knows dependency groups from 25.1 on.
$(READY): $(INSTALLED)
	@echo "Installing the tools for development into $(VENV) (once, about a minute) ..."
ifeq ($(USES_UV),)
	@$(INSTALL) pip
endif
	@$(INSTALL) --group dev
	@touch $@

# A dependency group of its own, for one target: $(VENV)/.GROUP
$(VENV)/.%: $(READY)
	@$(INSTALL) --group $*
	@touch $@
