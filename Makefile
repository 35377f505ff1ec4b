# Every target sets up what it needs in .venv; Python 3.11 with pip, git and make are enough.
#
#   make setup    what a run needs, in .venv
#   make tools    what tests, style, benchmarks and pages need besides
#   make demo     the whole workflow on simulated fires; no data needed
#   make run      the whole workflow on your data: make run CONFIG=config/config.yaml
#   make test     the tests
#   make lint     style, types, layers, workflow, container
#   make bench    benchmarks against the committed figures
#   make coverage which branches of data, features and evaluate no test near them takes
#   make mutants  which changes of the scores' code no test notices
#   make docs     the documentation site, in site/
#   make notebooks  docs/notebooks, executed anew
#   make schema   config/config.schema.json from emberformer/settings.py
#   make pins     constraints.txt from the packages that are installed now
#   make unlock   after a killed run
#
# On Linux without a GPU, PIP_EXTRA_INDEX_URL set to the index of PyTorch's CPU wheels saves gigabytes of CUDA libraries.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
CONFIG ?= config/config.yaml
ARGS ?=
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Without bytecode every command and every worker of the tests would compile the package anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup tools demo run test lint bench coverage mutants docs notebooks schema pins unlock

help:
	@sed -n 's/^#   //p' Makefile

# What a run needs.
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("EmberFormer needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): the first time this downloads the packages of constraints.txt and takes some minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) .
	@touch $@
	@echo "Set up. In a shell of your own: source $(VENV)/bin/activate"

# What tests, style, benchmarks and pages need besides.
tools: $(TOOLS)

$(TOOLS): $(STAMP)
	@echo "Adding the developers' tools to $(VENV)."
	@$(PIP) '.[dev,docs]'
	@touch $@

demo: setup
	@snakemake --configfile config/demo.yaml --quiet host reason $(ARGS)
	@echo "Open the report in a browser: results/demo/report.html"

run: setup
	@snakemake --configfile $(CONFIG) $(ARGS)

# Two workers, each with whole files: the workflow's tests share a finished run, and they wait more than they compute.
test: tools
	@python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: tools
	ruff check
	ruff format --check
	pyright
	lint-imports
	snakefmt --check Snakefile workflow
	hadolint Dockerfile
	snakemake --lint --configfile config/demo.yaml

bench: tools
	@python -m benchmarks $(ARGS)

COVERED := data evaluate features
coverage: tools
	@python -m pytest -q --cov-branch --cov-report=term-missing:skip-covered $(COVERED:%=--cov=emberformer/%) $(COVERED:%=tests/%) \
	  tests/test_finetuning.py tests/ensemble/test_ensemble_stages.py $(ARGS)

mutants: tools
	@mutmut run --max-children 2
	@mutmut results

# Not --quiet: it hides warnings from --strict too. The theme warns of a later MkDocs, which pyproject.toml rules out.
docs: tools
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict $(ARGS)
	@echo "Open the site in a browser: site/index.html"

notebooks: tools
	@jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False docs/notebooks/*.ipynb

schema: setup
	@emberformer schema > config/config.schema.json

pins: tools
	@{ echo '# The versions that were tested together, on Python 3.11; written by `make pins`.'; \
	  python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt

unlock: setup
	@snakemake --unlock --configfile $(CONFIG)
