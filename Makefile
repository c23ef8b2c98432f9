# Every target makes .venv by itself the first time (several minutes: it installs PyTorch), and again when what is needed changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
EXTRAS ?= local,diffusion,dev
MARK   ?= not gpu and not net and not slow
PYTEST ?=
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check format zoo bench bench-truth eval clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## audit and repair a tiny model, on a CPU, in minutes; ends with runs/demo/report/index.html
	@.venv/bin/auditdm demo

test: $(INSTALLED)  ## the tests, in minutes, but those that are slow or need a GPU or the network; says what it left out. One file: PYTEST=tests/test_store.py
	@.venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "$(MARK)" $(PYTEST)

check: $(INSTALLED)  ## format, lint, types and layers
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format: $(INSTALLED)  ## write the code the way `make check` wants it
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

zoo: $(INSTALLED)  ## train the sandbox's models from scratch; resumes where it was stopped
	@.venv/bin/python -m auditdm.sandbox.zoo_making

bench: $(INSTALLED)  ## measure the figures of docs/log.md
	@.venv/bin/python -m auditdm.sandbox.bench

bench-truth: $(INSTALLED)  ## audit targets with planted gaps: how much is found, how often it cries wolf
	@.venv/bin/python -m auditdm.sandbox.bench_truth

eval: $(INSTALLED)  ## add lmms-eval for the benchmarks; without its dependencies, which bring a torchvision that breaks a CPU build of PyTorch
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),eval]'
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt lmms-eval

clean:  ## remove what the tools made; .venv and runs/ stay
	@rm -rf build dist .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; found: $(PYTHON). Say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x .venv/bin/python || { echo "making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "installing auditdm[$(EXTRAS)] into .venv"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
