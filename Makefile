# The two commands of the README, `make demo` and `make test`, work on a fresh machine:
# they need Python 3.11+, make, a shell with its coreutils and a package index, and neither root nor
# a compiler nor a system libfluidsynth.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Order in which the files of tests are run; `make test SEED=123` has one again.
SEED := $(or $(SEED),$(shell date +%s))
# Where `make fuzz` writes what it has tried, night after night.
FUZZ ?= fuzz-runs.jsonl

.PHONY: demo test test-all lint types wheel-smoke docs fuzz bench clean

# $(call timed,NAME,COMMANDS) runs commands, with ";" between them, and says how many minutes they
# took: also in the file MINUTES, if there is such a variable.
timed = @start=$$(date +%s); set -ex; $(2); { set +x; } 2> /dev/null; \
	s=$$(($$(date +%s) - start)); \
	printf '%s: %d.%d minutes\n' '$(1)' $$((s / 60)) $$((s % 60 / 6)) | tee -a "$${MINUTES:-/dev/null}"

# What renders and mixes, without PyTorch.
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(call timed,install,$(BIN)/pip install --quiet --constraint constraints.txt --editable .)
	touch $@

$(VENV)/.installed: $(VENV)/.core
	$(call timed,install all,$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all$(comma)dev$(comma)docs]')
	touch $@
comma := ,

demo: $(VENV)/.core
	$(BIN)/stemsmith demo $(DEMO)

test: lint types wheel-smoke
	$(call timed,tests,$(BIN)/python -m pytest -n auto -m 'not slow' --seed $(SEED))

# All of them, and which lines and branches they take, which makes each a third slower.
test-all: lint types wheel-smoke
	$(call timed,tests,$(BIN)/python -m pytest -n auto --seed $(SEED) --cov)

lint: $(VENV)/.installed
	$(call timed,lint,$(BIN)/ruff check .; $(BIN)/ruff format --check .)

types: $(VENV)/.installed
	$(call timed,types,$(BIN)/mypy)

# The built wheel, installed alone in another environment and run from another folder.
wheel-smoke: $(VENV)/.installed
	$(call timed,wheel,$(BIN)/python tests/wheel_smoke.py)

# The documentation as a site, build/site/index.html: a warning is an error, and no page loads anything
# from elsewhere.
docs: $(VENV)/.installed
	$(call timed,docs,NO_MKDOCS_2_WARNING=1 $(BIN)/python -P -m mkdocs build --strict --quiet; $(BIN)/python docs/site/check.py build/site)

# Spoiled files of every kind, until it is interrupted; tests/fuzz/campaign.py has more.
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz/campaign.py files --runs $(FUZZ)

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/render.py $(MIDI)

clean:
	rm -rf $(VENV) build dist demo .coverage *.egg-info
