# Needs make, pip and Python 3.11 or newer. PYTHON=... picks another Python, VENV=... another folder, JOBS=... the test workers.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && exit; done; echo python3)
VENV ?= .venv
NEWEST ?= .venv-newest
JOBS ?= 2
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
export PIP_ROOT_USER_ACTION = ignore

# One thread a worker: the tests run small networks, where more threads only get in each other's way.
ONE_THREAD = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
INSTALL = $(VENV)/bin/python -m pip install -qq --constraint constraints.txt
PINNED = pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-newest lint types check bench bench-peers bench-gpu clean
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

run: $(VENV)/installed ## install, then search and train a small spiking network on the bundled digits (two minutes)
	$(VENV)/bin/nastk run --strategy ma-darts $(ARGS)

test: $(VENV)/installed-test ## install, then run the tests
	$(ONE_THREAD) $(VENV)/bin/python -m pytest -n $(JOBS) --hypothesis-profile=ci $(ARGS)

test-slow: $(VENV)/installed-test ## the tests that take minutes
	$(ONE_THREAD) $(VENV)/bin/python -m pytest -n $(JOBS) -m slow $(ARGS)

test-newest: $(NEWEST)/bin/python ## the tests with the newest release of every dependency, in an environment of its own
	@echo "Installing the newest releases into $(NEWEST) ..."
	@$(NEWEST)/bin/python -m pip install -qq --upgrade --upgrade-strategy eager --editable '.[test,torchvision]'
	$(ONE_THREAD) $(NEWEST)/bin/python -m pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/installed-lint ## ruff, then the types
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy

types: $(VENV)/installed-lint ## mypy, strict on nastk/core
	$(VENV)/bin/python -m mypy

check: lint test ## lint and test

bench: $(VENV)/installed-test ## install, then every benchmark at a short setting (minutes; docs/performance.md)
	$(VENV)/bin/python benchmarks/run.py --short $(ARGS)

bench-peers: $(VENV)/installed-test ## other toolkits against nastk; installs them into benchmarks/.envs
	$(VENV)/bin/python benchmarks/run.py peers $(ARGS)

bench-gpu: $(VENV)/installed-test ## everything that a large GPU is asked, in eight minutes (benchmarks/gpu/README.md)
	$(VENV)/bin/python benchmarks/gpu/run.py $(ARGS)

clean: ## remove the environments, caches and build results; runs stay
	rm -rf $(VENV) $(NEWEST) benchmarks/.envs benchmarks/.short build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find nastk tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python $(NEWEST)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "nastk needs Python 3.11 or newer, and $(PYTHON) is not: install one, or name it with make PYTHON=/path/to/python3." >&2; exit 1; }
	@rm -f $@ $(@D)/python3
	@$(PYTHON) -m venv $(@:/bin/python=) || { \
		echo "$(PYTHON) could not make the environment $(@:/bin/python=): on Debian and Ubuntu, install python3-venv." >&2; \
		rm -f $@; exit 1; }

# A stamp a set of extras; pip is asked again only when what it was told has changed.
$(VENV)/installed: $(PINNED) | $(VENV)/bin/python
	@echo "Installing nastk into $(VENV) (some minutes the first time) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: $(PINNED) | $(VENV)/bin/python
	@echo "Installing nastk and its tests' dependencies into $(VENV) (some minutes the first time) ..."
	@$(INSTALL) --editable '.[test,torchvision]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-lint: $(PINNED) | $(VENV)/bin/python
	@echo "Installing nastk, ruff and mypy into $(VENV) (some minutes the first time) ..."
	@$(INSTALL) --editable '.[lint]'
	@touch $@ $(VENV)/installed
