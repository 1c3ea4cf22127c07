# Everything CI runs, `make` runs. The virtual environment makes itself at the first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What `make run` replays when nothing else is named: the shipped cassette, with the dummy fallback.
# A .env file that says what to replay decides for itself.
ifeq ($(shell grep -sE '^(export )?(MODE|CASSETTE|ON_MISS|STORE)=' .env),)
MODE ?= replay
ifeq ($(MODE),replay)
export CASSETTE ?= demo
export ON_MISS ?= dummy
endif
export MODE
endif
HOST ?= 127.0.0.1
PORT ?= 7777
CALLER_PORT ?= 8000

.PHONY: run caller test check fix docs bench crash clean

run: $(READY)  ## Serve on port 7777; MODE=record|replay|dummy
	$(BIN)/replay-proxy serve --host $(HOST) --port $(PORT)

caller: $(READY)  ## Serve the example application on port 8000
	$(BIN)/uvicorn caller.main:app --port $(CALLER_PORT)

test: $(READY)  ## Run all tests
	env -u MODE -u CASSETTE -u ON_MISS $(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY)  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(READY)  ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Write what the commands of the pages print into them
	$(BIN)/python -m tests.docs

bench: $(READY)  ## Compare the modes with the blog's server, bare uvicorn and aimock
	$(BIN)/python -m benchmarks.ratios

crash: $(READY)  ## Kill the proxy wherever it hurts, and look at what is left
	$(BIN)/python -m tests.crash

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $(READY)
