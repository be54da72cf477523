.DEFAULT_GOAL := help
.PHONY: help setup reproduce test mutants check audit figures reference docs lock clean
PYTHON ?= python3
CORES ?= all
SUITE ?= embedded
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## show this
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## make .venv and install the locked requirements

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("nisp-bench needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --require-hashes --requirements requirements.lock
	touch $@

reproduce: setup  ## run the default suite end to end and print its verdicts
	snakemake --cores $(CORES)

test: setup  ## run the tests
	python -m pytest

SEED ?= 0
COUNT ?= 100
mutants: setup  ## make COUNT (100) small changes, drawn by SEED (0), and say which of them no test notices
	python -m benchmarks.mutants --seed $(SEED) --count $(COUNT) --jobs 2

check: setup  ## ruff, mypy, snakefmt and snakemake --lint
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

audit: setup  ## look for known vulnerabilities of the locked requirements (asks a service on the internet)
	uv tool run pip-audit --require-hashes --disable-pip --requirement requirements.lock

figures: setup  ## draw the figures again from the tables
	snakemake --cores 1 figures

reference:  ## keep the tables and figures of results/SUITE (embedded) as its reference run
	mkdir -p results/reference/$(SUITE)
	rm -rf results/reference/$(SUITE)/tables results/reference/$(SUITE)/figures
	cp -r results/$(SUITE)/tables results/$(SUITE)/figures results/reference/$(SUITE)/

docs: setup  ## write docs/methods.md anew from the criteria's docstrings
	python -m bench.methods > docs/methods.md.new
	mv docs/methods.md.new docs/methods.md

lock:  ## pin the newest versions of requirements.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --upgrade requirements.in -o requirements.lock

clean:  ## remove results and caches, but not .venv, data or the committed reference
	find results -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	rm -rf .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
