# Every target starts from nothing: the environment is made when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo check test bench clean

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Vivace needs Python 3.11 or newer; `%s` is %s. Set PYTHON=…" % (sys.executable, sys.version.split()[0]) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.local

clean:
	rm -rf $(VENV) demo-out talk-out
