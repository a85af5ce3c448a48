# Needs Python 3.11 or newer, make, and a package index that pip knows. Everything else is in .venv, from the lock files.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

find_python = for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done
PYTHON ?= $(shell $(find_python))

VENV := .venv
BIN := $(VENV)/bin
NODE_READY := tests/compat/node/node_modules/.package-lock.json
# Whole files, side by side: some share a server among their tests.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps

## Two commands to begin with

.PHONY: demo
demo: $(VENV)/ready  ## two demo shops with the proxy in front; Ctrl-C ends all
	@$(BIN)/strangler demo

.PHONY: test
test: check cover native  ## every check, every test with its coverage, and the traffic path's once more compiled

## Parts of `make test`

.PHONY: check
check: lint types layers  ## everything but the tests

.PHONY: lint
lint: $(VENV)/ready-dev  ## ruff, both as linter and as formatter
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --quiet --check

.PHONY: types
types: $(VENV)/ready-dev  ## mypy --strict
	$(BIN)/mypy

.PHONY: layers
layers: $(VENV)/ready-dev  ## imports run one way
	@$(BIN)/lint-imports --no-logo

.PHONY: quick
quick: $(VENV)/ready-dev $(NODE_READY)  ## the tests without coverage; one part: make quick T=tests/core
	$(BIN)/pytest -q $(SIDE_BY_SIDE) $(T)

.PHONY: cover
cover: $(VENV)/ready-dev $(NODE_READY)  ## the tests with branch coverage, of subprocesses too
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q $(SIDE_BY_SIDE)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# What a wheel holds (hatch_build.py), beside the checkout: no compiled module ever hides a file that somebody edits.
NATIVE := build/native
# Before the checkout, which PYTHONSAFEPATH keeps out of first place, and `-o pythonpath=` with pytest.
WITH_NATIVE := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(NATIVE):$(CURDIR)

$(NATIVE)/ready: $(VENV)/ready-dev hatch_build.py pyproject.toml $(shell find proxy -name '*.py')
	@echo "Compiling the traffic path (about a minute; skipped with a word where there is no C compiler) ..."
	@rm -rf $(NATIVE) build/wheel
	@STRANGLER_NATIVE=$(if $(shell command -v cc gcc clang),1) $(BIN)/python -m pip --disable-pip-version-check --quiet wheel --no-deps --no-build-isolation --no-index --wheel-dir build/wheel .
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install --no-deps --no-index --target $(NATIVE) build/wheel/*.whl
	@touch $@

.PHONY: native
native: $(NATIVE)/ready  ## the tests of what the wheel compiles, against the wheel
	@if ls $(NATIVE)/strangler__mypyc* >/dev/null 2>&1; then \
		$(WITH_NATIVE) $(BIN)/pytest -o pythonpath= --import-mode=append $(SIDE_BY_SIDE) tests/core tests/traffic tests/app/test_explain_is_traffic.py; \
	else echo "Skipped: without a C compiler the wheel holds Python alone. On Debian and Ubuntu: apt install gcc python3-dev"; fi

## Figures; bounded, printed as tables, not part of `make test`

.PHONY: bench
bench: $(VENV)/ready-bench $(NATIVE)/ready  ## beside nginx, HAProxy, Caddy and Envoy (about 20 minutes); one part: make bench P=cpu
	@$(WITH_NATIVE) $(BIN)/python -m bench $(P)

.PHONY: prove
prove: $(NATIVE)/ready  ## the promised figures: shares, reloads, kills, rollbacks, overload and others; one part: make prove P=rollbacks
	@$(WITH_NATIVE) $(BIN)/python -m prove $(P)

.PHONY: fuzz
fuzz: $(VENV)/ready-dev  ## hostile bytes in both directions, and into every parser (3 minutes; other inputs: make fuzz SEED=…)
	@$(BIN)/python -m fuzz --seed $(or $(SEED),0)

.PHONY: soak
soak: $(VENV)/ready-dev  ## mixed traffic while everything breaks, judged by an oracle (5 minutes; make soak MINUTES=30 SEED=… TLS=1)
	@$(BIN)/python -m soak --minutes $(or $(MINUTES),5) --seed $(or $(SEED),0) $(if $(TLS),--tls)

## House-keeping

.PHONY: fmt
fmt: $(VENV)/ready-dev  ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format --quiet

.PHONY: lock
lock: $(VENV)/ready-dev  ## make requirements/*.txt anew from pyproject.toml; UPGRADE=1 takes the newest of everything
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install uv
	$(LOCK) --extra dev --extra otel pyproject.toml --output-file requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt pyproject.toml --output-file requirements/runtime.txt
	$(LOCK) --extra otel --constraint requirements/dev.txt pyproject.toml --output-file requirements/otel.txt
	$(LOCK) --extra bench --constraint requirements/dev.txt pyproject.toml --output-file requirements/bench.txt
	printf 'hatchling\nmypy\nsetuptools\n' | $(LOCK) --constraint requirements/dev.txt - --output-file requirements/build.txt

# One lock for every supported Python, on Linux and macOS; it names no index, so it works with anybody's mirror.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean:  ## remove everything that was made here
	rm -rf $(VENV) tests/compat/node/node_modules .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk 'BEGIN {FS = ":.*  ## "} /^## / {printf "\n%s\n", substr($$0, 4)} \
		/^[a-z]+:.*  ## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A changed lock makes a new environment: nothing that was taken out of it lingers.
$(VENV)/ready: requirements/runtime.txt requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; with one that isn't on PATH: make PYTHON=/where/it/is" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv --clear $(VENV) || { echo "This Python has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing what the proxy runs on (requirements/runtime.txt) ..."
	@$(PIP) -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements/dev.txt
	@echo "Installing what the checks and tests need (requirements/dev.txt) ..."
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/ready-bench: $(VENV)/ready-dev requirements/bench.txt
	@echo "Installing what is compared with (requirements/bench.txt) ..."
	@$(PIP) -r requirements/bench.txt
	@touch $@

# JavaScript for tests/compat, by the Node.js that requirements/dev.txt brings. Without a registry those tests skip, and say so.
$(NODE_READY): tests/compat/node/package-lock.json $(VENV)/ready-dev
	@echo "Installing the JavaScript that some tests drive (tests/compat/node/package-lock.json) ..."
	@$(BIN)/python -m tests.compat.install && touch $@ || echo "It could not be installed; the tests that need it will be skipped" >&2
