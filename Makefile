# Every target works alone on a bare machine: it makes the virtual environment first, unless it is up to date.
# ARGS goes to the command:  make demo ARGS="seed=1"    make test ARGS="-k trie"
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first Python that is new enough and can make virtual environments; looked for only when one has to be made.
FIND_PYTHON = for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; done; \
	[ -n "$$python" ] || { echo 'No Python 3.11 or newer with the venv module; name one: make PYTHON=/path/to/python3 ...' >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench docs peers results

help: ## print this
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 14

setup: $(STAMP) ## make .venv and install genrec with everything for development
	@echo '$(VENV) is ready: . $(BIN)/activate'

demo: $(STAMP) ## a generated shop through the whole pipeline; about two minutes once installed, no network
	$(BIN)/genrec run experiment=demo $(ARGS)

test: $(STAMP) ## the test suite, a process a core (the slow rest: make test ARGS="-m slow -n 0")
	$(BIN)/python -m pytest -n logical $(ARGS)

check: $(STAMP) ## formatting, lint, layers of imports, and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(STAMP) ## training and decoding speed on the demo shop, median of three runs
	$(BIN)/python tools/benchmarks/demo_speed.py $(ARGS)

docs: $(STAMP) results ## docs/configuration.md from conf/, docs/api.md from the exports, RESULTS.md from results/
	$(BIN)/python tools/configuration_page.py
	$(BIN)/python tools/api_page.py

results: $(STAMP) ## RESULTS.md, and README's table, from the rows under results/
	$(BIN)/python tools/results.py page

peers: .venv-cornac/.installed .venv-rectools/.installed ## make the environments of tools/peers/: other libraries' models
	@echo 'ready: tools/peers/README.md has the commands'

# torch first: whichever build of that version pip finds at hand (CPU, CUDA) is what the rest is then resolved against.
$(STAMP): pyproject.toml constraints.txt
	@$(FIND_PYTHON); [ -x $(BIN)/python ] || { echo "$$python -m venv $(VENV)"; $$python -m venv $(VENV); }
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

# RecTools needs an older numpy than constraints.txt names, so only its torch is held there.
.venv-%/.installed: tools/peers/%.txt constraints.txt
	@$(FIND_PYTHON); [ -x $(@D)/bin/python ] || { echo "$$python -m venv $(@D)"; $$python -m venv $(@D); }
	$(@D)/bin/python -m pip install -c constraints.txt torch
	$(@D)/bin/python -m pip install $(if $(filter cornac,$*),-c constraints.txt) -r $<
	@touch $@
