"""A makefile with the cost of OnRamp's before the first recipe: the same kinds and numbers of processes.

OnRamp's own makefiles start about forty processes while make reads them: the second word in capitals, the address and
the user of the host, whether docker answers (three times), the files of its tool container, the names of all variables
in the .env files, and one question per required package. Docker is a stub here, so its answer costs nothing.
"""

from __future__ import annotations

from pathlib import Path

from tests.onramp_checkout import OnRamp

MAKEFILE = """\
ENV_FILE := $(wildcard ./services-enabled/.env)
ALL_ENV := $(ENV_FILE) $(wildcard ./services-enabled/.env.*) $(wildcard ./services-enabled/*.env)
ifneq (,$(ENV_FILE))
include $(ENV_FILE)
export
endif
ifneq (,$(wildcard ./.env))
include .env
export
endif

export NAME := $(strip $(word 2,$(MAKECMDGOALS)))
export LOUD := $(subst -,_,$(shell echo '$(NAME)' | tr a-z A-Z))
export COMPOSE := $(wildcard services-enabled/*.yml) $(wildcard overrides-enabled/*.yml)
export COMPOSE_FLAGS := $(foreach file,$(ALL_ENV),--env-file $(file)) $(foreach file,$(COMPOSE),-f $(file))

export ADDRESS := $(shell cat /proc/net/route | grep -c .)
export USER_ID := $(shell id -u)
export GROUP_ID := $(shell id -g)
export HOST := $(or $(HOST),$(shell uname -n))
ifeq (0,$(shell docker compose version >/dev/null 2>&1; echo $$?))
DOCKER := docker compose
else
DOCKER := docker-compose
endif
TOOLS := $(shell find tools -type f ! -name '*.pyc' 2>/dev/null)
RUN := docker run --rm -v $(shell pwd):/app -u $(USER_ID):$(GROUP_ID) tools

REST := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(REST):;@:)

start: ## Start everything
\t$(DOCKER) $(COMPOSE_FLAGS) up -d

include $(wildcard make.d/*.mk)
"""

INSTALLING = """\
HAS_DOCKER := $(shell command -v docker >/dev/null 2>&1 && docker ps >/dev/null 2>&1 && echo yes || echo no)
SOURCES := $(if $(shell cat /etc/os-release 2>/dev/null | grep ansible),,add)
PACKAGES := git nano jq pip yamllint pathspec ansible
MISSING := $(foreach name,$(PACKAGES),$(if $(shell ls "/var/lib/$(name)" >/dev/null 2>&1 && echo there),,$(name)))
RUNNING := $(shell docker ps -q -f name=flows 2>/dev/null)
VARIABLES := $(shell cat services-enabled/.env services-enabled/*.env 2>/dev/null | \
\tgrep -v '^\\#' | grep -v '^$$' | grep '=' | sed 's/^export //' | cut -d'=' -f1 | sort -u)
"""


def give(onramp: OnRamp) -> None:
    """Write makefiles that cost as much as OnRamp's into a test checkout, and enable two services."""
    (onramp.path / "Makefile").write_text(MAKEFILE)
    (onramp.path / "make.d/installing.mk").write_text(INSTALLING)
    tools = onramp.path / "tools"
    tools.mkdir()
    for number in range(40):
        (tools / f"{number}.py").touch()
    for name in ("plex", "jellyfin"):
        Path(onramp.path / f"services-enabled/{name}.yml").symlink_to(f"../services-available/{name}.yml")
