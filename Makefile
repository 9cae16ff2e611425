# Needs make, git and Python 3.11 or newer; uses uv for the set-up when it is on PATH.

PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null)
# for instance: make test ARGS="tests/domain -k lifecycle"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo

# what the full tests need besides Python: a PostgreSQL server, setsid and ps, compressors, R, Octave,
# benchmarks of networks;
# for virtual hosts sshd and ssh, ping, ip and tc, nft, rsync, and ranges of ids for ordinary users
SYSTEM_PACKAGES := postgresql procps util-linux bzip2 xz-utils zstd \
	r-base-core r-cran-dbi r-cran-rsqlite octave iperf3 cyclonedds-tools \
	openssh-server openssh-client iputils-ping iproute2 nftables iptables rsync uidmap \
	busybox tcsh fish

# the documentation's theme otherwise prints news about its own future
export NO_MKDOCS_2_WARNING := 1

.DELETE_ON_ERROR:
.PHONY: help setup demo test check docs bench system lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv from requirements.lock

demo: $(READY) ## run the phase-transition example and plot its results
	rm -rf $(DEMO) && mkdir -p $(DEMO)
	FIELDLAB_HOME=$(DEMO)/.fieldlab $(BIN)/fieldlab run examples/phase-transition/experiment.yaml
	FIELDLAB_HOME=$(DEMO)/.fieldlab $(BIN)/fieldlab export phase-transition $(DEMO)/results.csv
	$(BIN)/python examples/phase-transition/plot.py $(DEMO)/results.csv $(DEMO)/phase-transition.png
	@echo "The picture: $(DEMO)/phase-transition.png"

test: $(READY) ## run the tests; ARGS are pytest's
	$(BIN)/pytest -n logical --dist worksteal $(ARGS)

check: $(READY) ## lint, format, types, imports, budgets and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_tree.py
	$(BIN)/mkdocs build --quiet --strict

docs: $(READY) ## build the documentation
	$(BIN)/mkdocs build --quiet --strict
	@echo "The documentation: build/site/index.html"

bench: $(READY) ## measure what the README promises
	$(BIN)/python -m benchmarks $(ARGS)

system: ## install the Debian packages that the full tests need
	tools/install-system-packages $(SYSTEM_PACKAGES)

lock: ## choose versions anew where pyproject.toml asks for it; ARGS=--upgrade for all
	@test -n "$(UV)" || { echo "'make lock' needs uv on PATH" >&2; exit 1; }
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --extra all --group dev $(ARGS) \
		--output-file requirements.lock pyproject.toml

clean: ## remove what the other targets made, except .venv
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Byte code is compiled here because commands start slowly without it, and an environment may
# forbid Python to write it later.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"fieldlab needs Python 3.11 or newer; name one: make PYTHON=python3.12 setup" >&2; exit 1; }
ifneq ($(UV),)
	$(BIN)/python -c '' 2>/dev/null || $(UV) venv --quiet --clear --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
endif
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib src
	@touch $@
