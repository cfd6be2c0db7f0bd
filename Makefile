# From Tokens to GPT. `make learn` to learn, `make test` to prove; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv/bin
PORT ?= 8888
OPEN ?= yes
DEVICE ?= cpu
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help env learn test test-all notebooks book bench

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

env:  ## make .venv and install the locked libraries (the others do it when needed)
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make env PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) autograder/environment.py

learn: env  ## open the course in JupyterLab (PORT=8888, OPEN=no for a headless machine)
	@PORT=$(PORT) OPEN=$(OPEN) $(VENV)/python -m autograder.learn

test: env  ## all quick tests, at most 12 minutes on two cores
	@$(VENV)/python -m pytest -n $(WORKERS) --dist loadscope -m "not long"

test-all: env  ## the quick tests and the long ones: all mutants, fuzzing, kills, real trainings
	@$(VENV)/python -m pytest -n $(WORKERS) --dist loadscope

notebooks: env  ## make chapters/ and solutions/ from book/, llmlib and the exercises
	@$(VENV)/python -m autograder.notebooks

book: env  ## build the book into _build/html
	@$(VENV)/python -m autograder.bookmaking

bench: env  ## measure, side by side (DEVICE=cuda for a GPU)
	@for benchmark in benchmarks/[!_]*.py; do echo "== $$benchmark"; DEVICE=$(DEVICE) $(VENV)/python $$benchmark || exit 1; done
