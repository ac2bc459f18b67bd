# Every target starts from nothing: what it needs is installed when it is missing or has changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SPEECH := examples/speech
C      := src/vivace/flow/_speedups.c

# The libraries that the benchmark measures beside ours: not one of our dependencies.
GENAI   := .venv-bench-genai
PIPECAT := .venv-bench-pipecat
GENAI_VERSION   := 2.0.3
PIPECAT_VERSION := 1.14
PEERS := $(GENAI)/.$(GENAI_VERSION) $(PIPECAT)/.$(PIPECAT_VERSION)

# What other packages need stays out of the usual environment, and so do they.
INTEROP := .venv-interop

# In how many orders of what may happen at the same instant tests run: those of flow/ in each
# `make test`, as many as its quarter of an hour has room for; all of them in `make seeds`.
FLOW_SEEDS := 1
SEEDS      ?= 200

# How many random conversations `make simulate` holds, and under how many seeds the scripted ones.
N          ?= 10000
CASE_SEEDS ?= 500

.PHONY: demo check format types types-for-users test coverage seeds simulate prompt interop bench bench-quick peers changelog clean

demo: $(VENV)/.local
	$(BIN)/vivace talk --out demo-out \
	    $(SPEECH)/something.wav $(SPEECH)/goforward.wav $(SPEECH)/cough.wav@1.5 \
	    $(SPEECH)/librivox_0890.wav $(SPEECH)/librivox_0880.wav@2.5

# The quick half: format, lint, types, fast tests (layers and examples among them).
check: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync format types types-for-users
	$(BIN)/pytest -q -m "not real" -n auto

# What is read without being run, side by side. Parts of the two targets around it.
format:
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

types:
	$(BIN)/mypy

types-for-users:
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python tools/types_by_name.py

# Everything: the quick half, then real models, processes and sockets; the flow of parts under many
# seeds, without what is compiled.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync format types types-for-users
	$(BIN)/vivace models pull
	$(BIN)/pytest -q -m "not real" -n auto
	$(BIN)/pytest -q -m real
	VIVACE_PURE_PYTHON=1 $(BIN)/pytest -q tests/flow --vivace-seeds $(FLOW_SEEDS) -n auto

# What the tests run of each module: twice as slow.
coverage: $(VENV)/.dev
	$(BIN)/vivace models pull
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q -m "not real" -n auto
	$(BIN)/coverage run -m pytest -q -m real
	VIVACE_PURE_PYTHON=1 $(BIN)/coverage run -m pytest -q tests/flow -n auto
	@$(BIN)/coverage combine --quiet
	$(BIN)/python tools/coverage_by_module.py

# All tests on virtual time in many orders, for as long as that takes. SEEDS=20 is a quick look.
seeds: $(VENV)/.dev
	$(BIN)/pytest -q -m "not real" --vivace-seeds $(SEEDS) -n auto

# Random conversations of two minutes on virtual time, on all cores; first the eighteen cases of
# tests/live/interruptions.py, each under 500 seeds. N=200 CASE_SEEDS=20 is a quick look.
simulate: $(VENV)/.dev
	$(BIN)/pytest -q tests/live/test_interruptions.py --vivace-seeds $(CASE_SEEDS) -n auto
	$(BIN)/python tools/simulate.py $(N)

# Together with the packages that `tests/interop` is about, in an environment of its own.
interop: $(INTEROP)/.ready
	@rm -f .coverage .coverage.*
	$(INTEROP)/bin/coverage run -m pytest -q -k "interop or genai" \
	    tests/interop tests/processors/test_genai.py tests/test_readme.py
	@$(INTEROP)/bin/coverage combine --quiet
	$(INTEROP)/bin/python tools/coverage_by_module.py --interop

# Sixty turns with the local model in a small prompt; rewrites docs/prompt.png. Some minutes.
prompt: $(VENV)/.local
	$(BIN)/vivace models pull
	$(BIN)/python tools/long_conversation.py

# Measures everything and rewrites docs/benchmarks.md and its picture.
bench: $(VENV)/.local peers
	$(BIN)/python -m bench

# A rough look while working on something: a tenth of the work, once. The docs stay.
bench-quick: $(VENV)/.local peers
	$(BIN)/python -m bench --quick

# One that cannot be installed is named in the tables, and the rest is measured.
peers:
	-@$(MAKE) --no-print-directory --keep-going $(PEERS)

changelog: $(VENV)/.dev
	$(BIN)/towncrier build --version $$($(BIN)/python -c 'import vivace; print(vivace.__version__)')

clean:
	rm -rf $(VENV) $(INTEROP) $(GENAI) $(PIPECAT) demo-out talk-out

$(VENV)/bin/python $(INTEROP)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vivace needs Python 3.11 or newer; this is %s. Choose another one: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/.local: pyproject.toml $(C) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(C) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.local

$(GENAI)/.$(GENAI_VERSION):
	$(PYTHON) -m venv --clear $(GENAI)
	$(GENAI)/bin/pip install --quiet 'genai-processors==$(GENAI_VERSION)'
	@touch $@

$(PIPECAT)/.$(PIPECAT_VERSION):
	$(PYTHON) -m venv --clear $(PIPECAT)
	$(PIPECAT)/bin/pip install --quiet 'pipecat-ai==$(PIPECAT_VERSION).*'
	@touch $@

$(INTEROP)/.ready: pyproject.toml Makefile | $(INTEROP)/bin/python
	$(INTEROP)/bin/pip install --quiet --editable . 'genai-processors==$(GENAI_VERSION)' coverage hypothesis pytest
	@touch $@
