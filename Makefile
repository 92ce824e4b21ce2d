# Everything a person does with a checkout. `make help` lists it; RESET=1 and WAIT=1 belong to run.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help .venv run stop test check bench prove simulate fmt

PYTHON ?= python3
BIN := .venv/bin
# Every process starts from compiled modules, in an environment that keeps them out of the source tree too: without
# them each service compiles all that it imports, more than half of its start.
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/.venv/bytecode
unexport PYTHONDONTWRITEBYTECODE
export WAIT RESET SEED FROM EVENTS JOBS SECONDS KILLS R1 R3 POINTS BUGS QUICK ONLY FLAME SETTINGS RECORD SCENARIOS

help: ## this list
	@sed -n 's/^\([a-z.]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

.venv: ## install what Nightdesk needs to run (all other targets do it themselves)
	@$(PYTHON) -I deploy/dev/bootstrap.py

run: .venv ## start everything; Ctrl-C stops it. WAIT=1 leaves it running, RESET=1 begins with empty data
	@$(BIN)/python -m deploy.dev run

stop: .venv ## stop what WAIT=1 make run left running; the data stay
	@$(BIN)/python -m deploy.dev stop

test: .venv-dev ## everything that the continuous integration runs, on servers that it starts itself
	@$(BIN)/python -m deploy.dev.steps lint types imports tests

check: .venv-dev ## the quick part: lint, types, import rules, unit tests
	@$(BIN)/python -m deploy.dev.steps lint types imports unit

bench: $(if $(FLAME),.venv-dev,.venv) ## the figures beside the raw servers. QUICK=1 small, ONLY=B1,B3 some, FLAME=1 draws flame graphs
	@$(BIN)/python -m bench

prove: .venv ## faults by the dozen, then a verdict. SEED=n repeats, SECONDS=n, KILLS=1, POINTS=1, BUGS=1, SCENARIOS=1
	@$(BIN)/python -m prove

simulate: .venv ## whole weeks with a virtual clock, a million events. SEED=n replays one week, FROM=n, EVENTS=n, JOBS=n, BUGS=1
	@$(BIN)/python -m simulate

fmt: .venv-dev ## lay out the code and repair what can be repaired
	@$(BIN)/python -m ruff check --fix-only --quiet .
	@$(BIN)/python -m ruff format .

.PHONY: .venv-dev
.venv-dev:
	@$(PYTHON) -I deploy/dev/bootstrap.py --dev
