# Everything here needs only make and Python 3.11 or newer: see `make help`.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

# The first of these that is new enough; or say which: make test PYTHON=/opt/python/bin/python3
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)

IMAGES ?=
ARGS ?=
TESTS ?= tests
KUBE ?=
SECONDS ?= 600
UPGRADE ?= --upgrade
export IMAGES

# Where `faces stats` runs: here, or inside the cluster with KUBE=1.
STATS := $(if $(KUBE),kubectl exec -n faces $(if $(filter stream-stats-watch,$(MAKECMDGOALS)),-it) \
	deployment/writer -- faces stats,$(BIN)/faces stats)

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage lint audit format lock stream-stats stream-stats-watch \
	chaos fuzz clean

help: ## Say what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## Make .venv with everything in it, at the pinned versions.

$(READY): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found;" \
		"if it is somewhere else: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"$(PYTHON) is $$("$(PYTHON)" --version 2>&1 | head -1); 3.11 or newer is needed:" \
		"make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 2; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $$("$(PYTHON)" --version)"; \
		"$(PYTHON)" -m venv $(VENV); }
	@echo "installing what requirements-dev.txt pins (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation -e .
	@touch $@

demo: $(READY) ## Find faces in 40 sample pictures, or: make demo IMAGES=~/Pictures
	@bench/demo.sh $(BIN)

test: $(READY) ## Run all tests; fewer: make test TESTS=tests/cli/test_run.py ARGS=-v
	@$(BIN)/python -m pytest -n 2 $(ARGS) $(TESTS)

# Of what runs in this process alone: processes that tests start count for nothing here.
coverage: $(READY) ## Run all tests and count what of services/ and shared/ they reach.
	@$(BIN)/python -m pytest -n 2 --cov --cov-report=term $(ARGS) $(TESTS)

lint: $(READY) ## Check style and types, and the hosted workflow where actionlint is installed.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/mypy
	@if command -v actionlint >/dev/null; then actionlint; fi

audit: $(READY) ## Look up what requirements.txt pins in the lists of known vulnerabilities.
	@# Strict: a package that cannot be looked up (by a mirror without that list) is an error.
	@$(BIN)/pip-audit -r requirements.txt --require-hashes --disable-pip --strict \
		--progress-spinner off $(ARGS)

format: $(READY) ## Bring all files into the common format.
	@$(BIN)/ruff format .

lock: ## Pin all dependencies anew (needs uv); keep the pins there are: make lock UPGRADE=
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv"; exit 2; }
	uv pip compile --quiet $(UPGRADE) --universal --generate-hashes --python-version 3.11 \
		--no-header --no-annotate pyproject.toml -o requirements.txt
	uv pip compile --quiet $(UPGRADE) --universal --generate-hashes --python-version 3.11 \
		--no-header --no-annotate pyproject.toml --group dev -o requirements-dev.txt

stream-stats: $(READY) ## Show what waits in the streams; in the cluster: KUBE=1
	@$(STATS) $(ARGS) || { status=$$?; test $$status -eq 3 || exit $$status; }

stream-stats-watch: $(READY) ## The same, redrawn every two seconds.
	@$(STATS) --watch $(ARGS) || { status=$$?; test $$status -eq 3 || exit $$status; }

chaos: $(READY) ## Kill services, put servers out of order, then count what was lost and who was blamed.
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(READY) ## Try hostile inputs for ten minutes; other targets, longer: make fuzz SECONDS=3600 ARGS=headers
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

clean: ## Remove what `make demo` and the tools left behind; not .venv, not models/.
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

include bench/bench.mk image.mk
