# make demo    learn digits from 30 labels (about a minute, after the install)
# make test    install what the tests need and run them
# make lint    ruff and mypy
# make bench   time the graph core against the plain recipe
#
# The virtual environment is .venv; VENV= picks another place, PYTHON= another interpreter (3.11 or later).

VENV ?= .venv
PYTHON ?= python3
# A folder with cifar10/ and cifar100/ as Parquet. Tests that need it are skipped where it is absent.
FEWLABELS_DATA ?= $(abspath ../shared/data)
export FEWLABELS_DATA

BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow lint format bench pictures clean

demo: $(VENV)/.demo
	$(BIN)/fewlabels demo

test: $(VENV)/.dev
	SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/propagate.py

pictures: $(VENV)/.dev
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

KERNELS = setup.py $(wildcard csrc/*)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels and PyTorch into $(VENV): once, a few minutes."
	$(INSTALL) --editable ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	@echo "Installing fewlabels, PyTorch and the test tools into $(VENV): once, a few minutes."
	$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.demo
