.DEFAULT_GOAL := help
.PHONY: help setup reproduce test test-slow test-all mutants check audit figures reference docs lock clean
PYTHON ?= python3
CORES ?= all
SUITE ?= embedded
PARALLEL ?= --numprocesses 2 --dist loadfile
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## show this
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## make .venv and install the locked requirements

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("nisp-bench needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --require-hashes --requirements requirements.lock
	touch $@

reproduce: setup  ## run the default suite end to end and print its verdicts
	snakemake --cores $(CORES)

test: setup  ## run the fast tests, and one of each kind of slow test (6 minutes on 2 cores)
	python -m pytest -m "not slow" $(PARALLEL) $(TESTS)

test-slow: setup  ## run the slow tests
	python -m pytest -m slow $(PARALLEL) $(TESTS)

test-all: setup  ## run all tests
	python -m pytest $(PARALLEL) $(TESTS)

SEED ?= 0
COUNT ?= 100
mutants: setup  ## make COUNT (100) small code changes, drawn by SEED (0), and list those that no test notices
	python -m benchmarks.mutants --seed $(SEED) --count $(COUNT) --jobs 2

check: setup  ## ruff, mypy, snakefmt and snakemake --lint
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

audit: setup  ## check the locked requirements for known vulnerabilities (needs the internet)
	uv tool run pip-audit --require-hashes --disable-pip --requirement requirements.lock

figures: setup  ## draw the figures again from the tables
	snakemake --cores 1 figures

reference:  ## copy the tables and figures of results/SUITE (embedded) to results/reference
	mkdir -p results/reference/$(SUITE)
	rm -rf results/reference/$(SUITE)/tables results/reference/$(SUITE)/figures
	cp -r results/$(SUITE)/tables results/$(SUITE)/figures results/reference/$(SUITE)/

docs: setup  ## regenerate docs/methods.md from the criteria's docstrings
	python -m bench.suite.method_docs > docs/methods.md.new
	mv docs/methods.md.new docs/methods.md

lock:  ## pin the newest versions of requirements.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --upgrade requirements.in -o requirements.lock

clean:  ## remove results and caches, but not .venv, data or the committed reference
	find results -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	rm -rf .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
