# The two commands of the README, `make demo` and `make test`, work on a fresh machine:
# they need Python 3.11+, make and a package index, and neither root nor a system libfluidsynth.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-all lint wheel-smoke bench clean

# What renders and mixes, without PyTorch.
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed: $(VENV)/.core
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: $(VENV)/.core
	$(BIN)/stemsmith demo $(DEMO)

test: lint wheel-smoke
	$(BIN)/python -m pytest -n auto -m 'not slow'

test-all: lint wheel-smoke
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The built wheel, installed alone in another environment and run from another folder.
wheel-smoke: $(VENV)/.installed
	$(BIN)/python tests/wheel_smoke.py

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/render.py $(MIDI)

clean:
	rm -rf $(VENV) build dist demo *.egg-info
