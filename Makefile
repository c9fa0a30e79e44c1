# Every target does all its own set-up; `make` alone tells what there is.

MODEL ?=
IMAGE ?=
ARGS ?=
FACES ?= ../shared/faces
export MODEL IMAGE

BIN := .venv/bin
# What is installed in .venv: to run, to test, to lint, to build the documentation. Each is installed again when
# pyproject.toml or uv.lock changed, and .venv is made anew when this folder was moved or its Python is gone.
TO_RUN := .venv/.has-gui
TO_TEST := .venv/.has-gui-test
TO_LINT := .venv/.has-gui-dev
TO_DOCUMENT := .venv/.has-gui-docs
INSTALLED := $(TO_RUN) $(TO_TEST) $(TO_LINT) $(TO_DOCUMENT)
ifneq ($(and $(wildcard .venv/bin/python),$(shell cat .venv/.home 2>/dev/null)),$(CURDIR))
.PHONY: .venv/.home $(INSTALLED)
endif

.PHONY: help run test coverage mutants monkey fuzz soak lint bench docs screenshots paradox train clean libraries compiler
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(TO_RUN) ## open the window: make run [MODEL=main_file.txt] [IMAGE=photo.jpg]; without a display, fit into output/
	@scripts/run.sh

test: $(TO_TEST) compiler ## run the tests on every core: make test [ARGS="tests/engine -x"]
	@OPENBLAS_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

monkey: $(TO_TEST) ## do random things in a window and tell what breaks: make monkey [ARGS="--actions 2000 --seed 7"]
	@PYTHONPATH=tests OPENBLAS_NUM_THREADS=1 $(BIN)/python -m gui.monkey $(ARGS)

fuzz: $(TO_TEST) ## give damaged files and command lines to everything that reads: make fuzz [ARGS="--seconds 600 --seed 7"]
	@PYTHONPATH=tests OPENBLAS_NUM_THREADS=1 $(BIN)/python -m fuzz $(ARGS)

soak: $(TO_TEST) ## track, play and refit for 20 minutes, and tell memory and pauses: make soak [ARGS="--minutes 2"]
	@PYTHONPATH=tests QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m gui.soak $(ARGS)

coverage: $(TO_TEST) compiler ## tell which lines and branches the tests reach: make coverage [ARGS=tests/gui]
	@OPENBLAS_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report= $(ARGS)
	@$(BIN)/python -m coverage report --skip-covered --show-missing
	@$(BIN)/python scripts/branches.py

mutants: $(TO_TEST) compiler ## tell which mistakes no test notices, of a sample: make mutants [ARGS="--count 10 --seed 2"]
	@$(BIN)/python scripts/mutants.py fitting --least 92 $(ARGS)
	@$(BIN)/python scripts/mutants.py window --least 80 $(ARGS)

lint: $(TO_LINT) ## check style, types and imports
	@status=0; \
	for check in "ruff check" "ruff format --check" mypy lint-imports; do \
		echo "== $$check"; $(BIN)/$$check || status=1; \
	done; \
	if command -v shellcheck >/dev/null; then \
		echo "== shellcheck"; shellcheck scripts/*.sh .ci/run || status=1; \
	fi; \
	exit $$status

bench: $(TO_RUN) ## measure the engine's speed on one thread
	@set -e; for script in benchmarks/bench_*.py; do \
		[ -e "$$script" ] || { echo "There are no benchmarks yet." >&2; exit 1; }; \
		echo "== $$script"; OPENBLAS_NUM_THREADS=1 $(BIN)/python "$$script"; \
	done

docs: $(TO_DOCUMENT) ## build the documentation: build/docs/index.html
	@$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

train: $(TO_RUN) ## train models/portrait68 anew: make train [FACES=folder of annotated faces]
	@$(BIN)/clnf train "$(FACES)" --views -o models/portrait68

screenshots: $(TO_RUN) ## make the pictures of the documentation: docs/images
	@QT_QPA_PLATFORM=offscreen $(BIN)/python scripts/screenshots.py

paradox: $(TO_RUN) ## make the numbers and figures of docs/paradox.md anew: make paradox [MODEL=main_file.txt]
	@$(BIN)/python scripts/paradox.py $(if $(MODEL),"$(MODEL)")

clean: ## remove .venv and everything else that was made here
	rm -rf .venv build dist output evaluation docs/generated models/*.work .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.home: scripts/venv.sh
	@scripts/venv.sh

libraries: .venv/.home
	@scripts/system_libs.sh

compiler: .venv/.home
	@scripts/system_libs.sh compiler

$(TO_RUN) $(TO_TEST) $(TO_DOCUMENT): | libraries

$(INSTALLED): pyproject.toml uv.lock scripts/packages.sh | .venv/.home
	@scripts/packages.sh $(subst -, ,$(@:.venv/.has-%=%))
