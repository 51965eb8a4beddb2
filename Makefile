# mass-stop: `make run` is all a newcomer needs. GNU make >= 4, a POSIX shell, Python >= 3.11.
#
# Two environments: .venv for the command (the locked dependencies and this tree's wheel),
# .venv-dev for tests and checks (the tree itself, editable). Both come from the lock files.
# Most of .venv-dev is never imported: Python compiles a module at its first import.

PYTHON ?= python3
KEYS ?=
ARGS ?=
SEEDS ?= 200
FIRST_SEED ?= $(shell date +%s)
VERSIONS ?= 3.11 3.12 3.13 3.14

export PYTHON KEYS
# The header of each lock file names this command.
export UV_CUSTOM_COMPILE_COMMAND := make lock

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run environments test check docs pictures bench hunt hunt-crash hunt-disk mutants coverage format test-all lock clean

DEV := .venv-dev/bin/python
# One process for each core and one more, since some wait. More than four would wait for sockets and disks.
SIDE_BY_SIDE := --numprocesses $(shell echo $$(( $$(nproc 2>/dev/null || echo 1) + 1 ))) --maxprocesses 4 --dist worksteal
# Without bytecode files, each process of a test would compile all modules again.
test check hunt hunt-crash hunt-disk coverage test-all: export PYTHONDONTWRITEBYTECODE :=
# Folders too: a removed module must leave the wheel as well.
PACKAGE := $(shell find orchestrator -name __pycache__ -prune -o -print 2>/dev/null)

# Scripts in an environment contain its folder: in a moved or copied tree, everything is installed again.
$(shell for dir in .venv .venv-dev; do \
    [ "$$(cat $$dir/.made-in 2>/dev/null || pwd -P)" = "$$(pwd -P)" ] || rm -f $$dir/*.stamp; done)

help:
	@echo 'make run                  rehearses the whole job against a simulated tenant (no credentials needed)'
	@echo 'make run KEYS=keys.csv    stops real mass actions: needs ZUORA_BASE_URL, ZUORA_CLIENT_ID, ZUORA_CLIENT_SECRET'
	@echo '                          (ARGS="--yes --headroom 20" adds options; one run of make ends in make'\''s own'
	@echo '                          exit status, so scripts call .venv/bin/mass-stop itself)'
	@echo
	@echo 'make test                 the test suite (ARGS="-k token" chooses)'
	@echo 'make test-all             the same on each of Python $(VERSIONS) that is installed'
	@echo 'make check                format, lint, types, imports, prose, wheel, known vulnerabilities, addresses'
	@echo 'make docs                 the documentation as a site: site/index.html, nothing in it comes from the network'
	@echo 'make pictures             draws the pictures of README and documentation again: docs/pictures/ (needs Chromium)'
	@echo 'make format               corrects format and imports'
	@echo 'make coverage             the suite with branch coverage'
	@echo 'make bench                the benchmarks, as ratios'
	@echo 'make hunt                 long searches: SEEDS=200 FIRST_SEED=n, random hypothesis examples; then make mutants'
	@echo 'make hunt-crash           of these: kill -9 and power cuts at every step of a run, two commands at once'
	@echo 'make hunt-disk            of these: a disk that is full, fails, or changes its content'
	@echo 'make mutants              mutation testing (ARGS="orchestrator.pacing*" chooses)'
	@echo 'make lock                 renews the lock files from pyproject.toml (UPGRADE=1: newest versions)'
	@echo 'make clean                removes environments, builds and caches, never runs/'

# ------------------------------------------------------------------------------------ running it

run: .venv/package.stamp
	@if [ -n "$$KEYS" ]; then exec .venv/bin/mass-stop run "$$KEYS" $(ARGS); \
	else exec .venv/bin/mass-stop drill $(ARGS); fi

.venv/locked.stamp: requirements.lock requirements-build.lock
	@python=$$(.ci/find-python) && .ci/make-venv .venv "$$python" requirements.lock requirements-build.lock
	@touch $@

.venv/package.stamp: .venv/locked.stamp pyproject.toml LICENSE $(PACKAGE)
	@.ci/install-package .venv
	@touch $@

# ------------------------------------------------------------------------------------ testing it

environments: .venv-dev/package.stamp .venv/package.stamp

test: environments
	MASS_STOP=.venv/bin/mass-stop $(DEV) -m pytest $(SIDE_BY_SIDE) $(ARGS)

check: .venv-dev/package.stamp
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/ruff check .
	$(DEV) -m mypy
	.venv-dev/bin/lint-imports --no-logo
	$(DEV) .ci/prose
	$(DEV) .ci/check-wheel
	$(DEV) .ci/audit
	.ci/no-addresses

docs: .venv-dev/package.stamp
	NO_MKDOCS_2_WARNING=1 $(DEV) -m mkdocs build --quiet --strict
	@echo 'site/index.html (for the search: python3 -m http.server --directory site)'

pictures: .venv-dev/package.stamp
	$(DEV) docs/pictures.py
	$(DEV) -m tests.benchmarks.pictures

format: .venv-dev/package.stamp
	.venv-dev/bin/ruff check --fix .
	.venv-dev/bin/ruff format .

coverage: .venv-dev/package.stamp
	$(DEV) -m coverage erase
	$(DEV) -m coverage run -m pytest $(ARGS)
	$(DEV) -m coverage combine -q
	$(DEV) -m coverage report

bench: .venv-dev/package.stamp
	$(DEV) -m tests.benchmarks $(ARGS)

hunt: .venv-dev/package.stamp
	$(DEV) -m pytest -m 'hunt or not hunt' --hypothesis-profile=hunt --hypothesis-show-statistics \
	    --seeds $(SEEDS) --first-seed $(FIRST_SEED) --timeout 3600 $(ARGS)
	$(if $(ARGS),,$(MAKE) mutants)

hunt-crash hunt-disk: hunt-%: .venv-dev/package.stamp
	$(DEV) -m pytest -m 'hunt or not hunt' tests/hunts/$* \
	    --seeds $(SEEDS) --first-seed $(FIRST_SEED) --timeout 14400 $(ARGS)

mutants: .venv-dev/package.stamp
	nice -n 19 $(DEV) .ci/mutants $(ARGS)

.venv-dev/locked.stamp: requirements-dev.lock
	@python=$$(.ci/find-python) && .ci/make-venv .venv-dev "$$python" --no-compile requirements-dev.lock
	@touch $@

.venv-dev/package.stamp: .venv-dev/locked.stamp pyproject.toml orchestrator/version.py
	@.ci/install-package .venv-dev --editable
	@touch $@

# Every installed version is tried, even after a failure. A missing version is reported.
test-all:
	@failed= ; tried= ; \
	for version in $(VERSIONS); do \
	    if ! python=$$(.ci/find-python $$version); then echo "== Python $$version: not installed"; continue; fi; \
	    echo "== Python $$version"; tried="$$tried $$version"; \
	    { .ci/make-venv .venvs/$$version "$$python" --no-compile requirements-dev.lock && \
	      .ci/install-package .venvs/$$version --editable && \
	      .venvs/$$version/bin/python -m pytest $(SIDE_BY_SIDE) $(ARGS); } || failed="$$failed $$version"; \
	done; \
	echo "== tried:$$tried; failed:$${failed:- none}"; \
	[ -n "$$tried" ] && [ -z "$$failed" ]

# ------------------------------------------------------------------------------------ keeping it

# uv resolves for every platform and Python at once. If uv is missing, pip installs it temporarily.
# uv uses its own registry configuration (UV_INDEX, uv.toml), not pip's. No address gets into a lock.
LOCK = "$$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    $(if $(UPGRADE),--upgrade) --output-file

lock:
	@if uv=$$(command -v uv); then :; else \
	    python=$$(.ci/find-python) && "$$python" -m venv .venv-lock && \
	    .venv-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13' && uv=.venv-lock/bin/uv; \
	fi && \
	$(LOCK) requirements.lock pyproject.toml --extra speed && \
	$(LOCK) requirements-build.lock --group build && \
	$(LOCK) requirements-dev.lock pyproject.toml --extra speed --group dev -c requirements.lock -c requirements-build.lock
	@.ci/no-addresses

clean:
	rm -rf .venv .venv-dev .venv-lock .venvs dist build site mutants htmlcov .coverage .coverage.* \
	    .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find orchestrator tests -name __pycache__ -prune -exec rm -rf {} +
