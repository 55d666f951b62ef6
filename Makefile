# Farsight: `make run` to look at it, `make test` to check it. See README.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export STATE_DIR ?= $(CURDIR)/.state
PYTHON := $(CURDIR)/.venv/bin/python

.PHONY: run test lint bench clean help

run: ## set everything up, then run the gateway with a demo PACS and OHIF until Ctrl-C
	@.ci/setup run
	@PYTHONPATH=docker/demo exec $(PYTHON) -m farsight_demo

test: ## set everything up and run all tests
	@.ci/setup test
	@.ci/test

lint: ## ruff and mypy
	@.ci/setup lint
	$(PYTHON) -m ruff check plugin tests benchmarks docker
	$(PYTHON) -m ruff format --check plugin tests benchmarks docker
	$(PYTHON) -m mypy

bench: ## measure beside getscu and the official DICOMweb plugin; prints tables
	@.ci/setup test
	$(PYTHON) benchmarks/dimse.py
	$(PYTHON) benchmarks/gateway.py

clean: ## remove the virtual environment, the state and every cache
	rm -rf .venv $(STATE_DIR) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
