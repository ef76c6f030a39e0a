# make demo     see it work on real API servers        make test    all tests
# make sandbox  the same clusters and a UI, to play    make bench   how fast, how small
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: help demo demo-acme sandbox test test-unit e2e e2e-programs e2e-servers e2e-node e2e-cert-manager e2e-argo-cd compat mutants soak bench schema release-check release-dry-run release-image release-chart release-page ci lint types format lock clean
.DEFAULT_GOAL := help

help: ## these lines
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## certificates arrive on three clusters, step by step, each step checked
	@$(BIN)/python -m deployments.sandbox demo

demo-acme: $(READY) ## cert-manager orders certificates, a run copies them, TLS clients trust them
	@$(BIN)/python -m deployments.sandbox demo-acme

sandbox: $(READY) ## four clusters, cert-manager on OPS, Prefect with its UI, the flow served; until Ctrl-C
	@$(BIN)/python -m deployments.sandbox up

test: $(READY) ## all tests; the first time builds kube-apiserver and etcd if none is at hand
	@# Here, since pytest would hide the progress. What can't be had makes tests skip, and CI fail.
	@$(BIN)/python -m deployments.sandbox fetch || test -z "$$CI"
	@# Three processes: each has API servers of its own, and waits while another computes.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

test-unit: $(READY) ## the tests that need no API server, in a few minutes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not apiserver and not e2e"

e2e: e2e-servers e2e-node e2e-cert-manager ## the three below, one after the other; an hour

e2e-servers: e2e-programs ## watcher, worker, fleet, workers of Dask and alerts, as processes; on Debian
	$(BIN)/python -m pytest -m e2e --exitfirst tests/apiserver

e2e-node: e2e-programs ## the chart on a real node, and a browser; as root, on Debian
	$(BIN)/python -m pytest -m e2e --exitfirst --ignore tests/e2e/cert_manager --ignore tests/e2e/argo_cd tests/e2e

e2e-cert-manager: e2e-programs ## cert-manager and an ACME server on OPS, through the life of a certificate
	@# Three processes: each waits for most of its time, and has a cert-manager of its own.
	$(BIN)/python -m pytest -m e2e --exitfirst --numprocesses 3 --dist loadfile tests/e2e/cert_manager

e2e-programs: $(READY) ## build what these need, with progress, which takes half an hour the first time
	@# What takes minutes the first time, and what is missing, is said before pytest hides it.
	@$(BIN)/python -m tests.e2e

e2e-argo-cd: $(READY) ## the chart by Argo CD from git, on a real node; as root, on Debian; 15 minutes
	@$(BIN)/python -m tests.e2e --argo-cd
	$(BIN)/python -m pytest -m e2e --exitfirst tests/e2e/argo_cd

compat: $(READY) ## other versions of cert-manager and Kubernetes; writes README's table; 2 hours the first time
	$(BIN)/python -m tests.compat

mutants: $(READY) ## change the deciding code in small ways; each change must turn a test red; 1.5 hours
	$(BIN)/python -m tests.mutation

soak: $(READY) ## spoilt Secrets, runs with failing calls, 10,000 renewals, an hour of two-minute certificates; 1.5 hours
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.soak
	$(BIN)/python -m tests.watch_soak
	$(BIN)/python -m tests.certificate_soak

bench: $(READY) ## against a kubectl loop and a bare client, and how it grows; writes bench.json; an hour
	$(BIN)/python -m tests.benchmarks

ci: ## all that CI runs: style, types and tests; as root, on Debian; an hour
	.ci/run

schema: $(READY) ## write the JSON Schema of tls-sync.yaml, for editors, after a change of its keys
	$(BIN)/python -m deployments.config_schema

release-check: $(READY) ## the tag, the version, the changelog and the checkout agree
	$(BIN)/python -m deployments.release check

release-dry-run: $(READY) ## image and chart built twice and compared, contents, checksums, into dist/; as root, on Debian
	$(BIN)/python -m deployments.release dry-run

release-image: $(READY) ## build, push and sign the image for all platforms; TLS_SYNC_REGISTRY names where
	$(BIN)/python -m deployments.release image

release-chart: $(READY) ## pack, push and sign the chart, with the image of TLS_SYNC_IMAGE_DIGEST
	$(BIN)/python -m deployments.release chart

release-page: $(READY) ## sign the checksums of what is in dist/, and make the release's page with gh
	$(BIN)/python -m deployments.release page

lint: $(READY) ## style, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache pyproject.toml

types: $(READY) ## types
	$(BIN)/mypy

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## new versions of all dependencies, with hashes (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --constraint requirements.txt pyproject.toml --extra image \
	  --output-file requirements-image.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --constraint requirements-image.txt pyproject.toml --extra image \
	  --extra dask --output-file requirements-dask.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --constraint requirements-dask.txt pyproject.toml --extra image \
	  --extra dask --group dev --output-file requirements-dev.txt

clean: ## remove the virtual environment, caches and dist/
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache tls_sync.egg-info dist

# uv where it is present, plain venv and pip otherwise.
$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tls-sync needs Python 3.11 or later; say which: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "installing the dependencies and the command tls-sync into .venv, once (one to five minutes)"
	@# A person sees what is installed; a log needs no 300 lines.
	@test -t 1 || quiet=--quiet; if command -v uv >/dev/null; then \
	  uv venv $$quiet --allow-existing --python $(PYTHON) .venv \
	  && uv pip install $$quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt \
	  && uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/pip install $$quiet --require-hashes -r requirements-dev.txt \
	    -c requirements-dev.txt \
	  && $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@
