# Every target makes .venv itself, from a bare Python 3.11 or later. `make train` and `make test` need nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train test test-all lint bench gpu-check clean

train: $(STAMP)
	@$(BIN)/python -m trm_cli quickstart

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow"

test-all: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy trm_cli dataset_builders benchmarks && $(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

gpu-check: $(STAMP)
	@$(BIN)/python -m benchmarks.gpu_check

# One install with the capped torch requirement in it, so that no other package decides which torch is taken.
$(STAMP): setup.cfg pyproject.toml
	@echo "Installing into $(VENV) (about two minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
