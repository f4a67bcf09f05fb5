# The commands of the project. Each installs what it needs into $(VENV) first.
# PYTHON, VENV, TORCH_VARIANT, TORCH_INDEX, TMPDIR and PIP_CACHE_DIR go to tools/install.sh, which
# explains them.

VENV ?= .venv
export VENV

BIN := $(VENV)/bin
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
CHAOS_ARGS ?=
LOCK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format lock bench chaos clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: ## set up the virtual environment; quick when nothing has changed
	@tools/install.sh

demo: install ## train small models of every task with BN, SN and SSN, write a report (DEMO_ARGS=...)
	@$(BIN)/python tools/benchmark.py demo $(DEMO_ARGS)

test: lint ## lint, types, import rules, tests with coverage (PYTEST_ARGS='-m "not slow"')
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --cov --cov-report=term \
		--numprocesses=auto --maxprocesses=4 --max-worker-restart=0 --dist=loadfile $(PYTEST_ARGS)

lint: install ## ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install ## apply ruff's format and safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install ## renew requirements.lock, keeping pins that fit (LOCK_ARGS='--upgrade-package NAME')
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
		--fork-strategy fewest --only-binary :all: --no-python-downloads --quiet \
		--annotation-style line --custom-compile-command 'make lock' \
		--output-file requirements.lock $(LOCK_ARGS)

bench: install ## time the norm layers against nn.BatchNorm2d (BENCH_ARGS=...)
	@$(BIN)/python tools/bench_norm.py $(BENCH_ARGS)

chaos: install ## kill, damage and starve small trainings 50 times (CHAOS_ARGS='--seed 2')
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

clean: ## remove caches and builds; keeps the virtual environment, data and runs
	rm -rf build dist *.egg-info .coverage .coverage.* .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find normlib tasks tools tests configs -name __pycache__ -prune -exec rm -rf {} +
