# `make` runs everything that CI runs. The first use creates the virtual environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# By default, `make run` replays the shipped cassette with the dummy fallback, unless a .env file
# sets what to replay.
ifeq ($(shell grep -sE '^(export )?(REPLAY_PROXY_)?(MODE|CASSETTE|ON_MISS|STORE)=' .env),)
MODE ?= $(or $(REPLAY_PROXY_MODE),replay)
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

check: $(READY)  ## Check lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(READY)  ## Fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Run the commands of the pages and write down what they print
	$(BIN)/python -m tests.docs

bench: $(READY)  ## Measure processor time per answer, next to other servers
	$(BIN)/python -m benchmarks.ratios

crash: $(READY)  ## Kill the proxy at every dangerous moment, and check what remains
	$(BIN)/python -m tests.crash

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $(READY)
