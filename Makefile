# Farsight. `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export STATE_DIR ?= $(CURDIR)/.state

.PHONY: run test lint bench clean help

run: ## demo: sample studies in a PACS, Orthanc with Farsight before it, OHIF; Ctrl-C stops it
	@.ci/packages run
	@.ci/venv requirements-demo.txt
	@.ci/ohif
	@PYTHONPATH=docker/demo exec .venv/bin/python -m farsight_demo

test: ## set up and run every test; PYTEST="-k frames" adds options
	@.ci/test $(PYTEST)

lint: ## ruff, mypy and a syntax check of the shell scripts
	@.ci/packages lint
	@.ci/venv requirements-test.txt
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/mypy docker/demo/farsight_demo
	@for script in .ci/*; do bash -n "$$script" || exit 1; done

bench: ## measure beside getscu and the official DICOMweb plugin; prints tables
	@.ci/packages test
	@.ci/venv requirements-test.txt
	.venv/bin/python -m benchmarks $(BENCH)

clean: ## remove the virtual environment, the state in .state and caches
	rm -rf .venv .state .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "make run reads: HTTP_PORT (8042) WEB_PORT (8043) DICOM_PORT (4242) DEMO_PACS_PORT (11112)"
	@echo "  STATE_DIR (.state)  BIND (127.0.0.1)  RETRIEVE=auto|c-get|c-move"
	@echo "  PACS=\"AET@host:port[,AET2@host2:port2]\" uses real PACS instead of the demo's"
	@echo "  FARSIGHT_USER, FARSIGHT_PASSWORD: needed when BIND is not the loopback address"
