# Every target makes .venv itself, from a bare Python 3.11 or later. `make train` and `make test` need nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What running needs; and, with the `dev` extra of setup.cfg, what testing and checking need as well.
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# By file: what the tests of a file share is made once.
PYTEST = $(BIN)/python -m pytest -q -n 3 --dist loadfile
# Folders of unit tests, without what trains every network against a reference and what builds stream datasets.
FAST := tests/schedule tests/config tests/data tests/models tests/training/optimizers \
	--ignore=tests/models/networks/test_parity.py --ignore=tests/models/networks/test_every_architecture.py \
	--ignore=tests/data/building --ignore=tests/data/stream

# What is imported is compiled once, whatever the environment says (images of Docker often set this).
unexport PYTHONDONTWRITEBYTECODE

# pip compiles one file after the other, tests of packages among them: half of an installation that has no downloads.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable
COMPILE = $(BIN)/python -m compileall -qq -j 0 -x '/(tests?|testing/_internal)/' $(VENV)/lib trm_cli dataset_builders benchmarks || true

.PHONY: train test test-fast test-all lint bench gpu-check pretrained docs schemas site clean

train: $(RUN)
	@$(BIN)/python -m trm_cli quickstart

test: $(DEV)
	@$(PYTEST) -m "not slow"

# Under a minute, without builds and whole runs.
test-fast: $(DEV)
	@$(PYTEST) -m "not slow" $(FAST)

test-all: $(DEV)
	@$(PYTEST)

lint: $(DEV)
	@# Newer versions would write some of it otherwise (UP, B912); all of it must be right in each of them.
	@for version in py312 py313 py314; do $(BIN)/ruff check --quiet --ignore UP,B912 --target-version $$version . || exit; done
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy trm_cli dataset_builders benchmarks && $(BIN)/lint-imports && $(BIN)/lint-imports --no-cache .importlinter-types.cfg

bench: $(RUN)
	@$(BIN)/python -m benchmarks

gpu-check: $(RUN)
	@$(BIN)/python -m benchmarks.gpu_check

# The models that come with the program: half an hour of training on one core.
pretrained: $(RUN)
	@$(BIN)/python -m benchmarks.pretrained

docs: $(RUN)
	@$(BIN)/python -m trm_cli configs keys --markdown > docs/keys.md

# The pages of docs/ as a site, in build/site; a broken link fails.
site: $(DEV)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# What the shipped YAML files name for editors.
schemas: $(RUN)
	@mkdir -p configs/schemas
	@for kind in model architecture defaults; do $(BIN)/python -m trm_cli configs schema $$kind > configs/schemas/$$kind.json; done

# One install with the capped torch requirement in it, so that no other package decides which torch is taken.
$(RUN): setup.cfg setup.py pyproject.toml
	@echo "Installing into $(VENV) (about two minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) .
	@$(COMPILE)
	@touch $@

# The same install with more in it, never a second one after $(RUN): a fresh clone installs once.
$(DEV): setup.cfg setup.py pyproject.toml
	@echo "Installing into $(VENV), with the tools of development (about two minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) ".[dev]"
	@$(COMPILE)
	@touch $(RUN) $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
