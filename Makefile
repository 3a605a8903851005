# Two commands do all the set-up: `make demo` and `make test`. They need Python 3.11 or newer with venv,
# and a package index; no root. Everything lands in .venv, from the hashes in constraints.txt.
# Plain enough for GNU Make 3.81, which is what macOS carries.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.made
LOCK  := build/lock

# More arguments for the command behind a target: make test ARGS="-k loop", make demo ARGS='"what is a lambda?"'
ARGS ?=

# Another project's packages must not shine through, and a venv has no user site to install into. The tests start
# hundreds of processes: what one of them has compiled is there for the next one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# PYTHON=... chooses one; otherwise the first of these that is new enough and can make a venv.
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)

# The stamp holds the folder it was made in. A .venv that was moved, or whose Python is gone, is made again.
ifneq ($(shell $(BIN)/python -c 'print(open("$(STAMP)").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test torture lint types imports check bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## make .venv, or bring it up to date

# The stamp comes last: whatever was interrupted before it starts from nothing the next time.
$(STAMP): pyproject.toml constraints.txt
	@python=; found=; new=; \
	for candidate in $(CANDIDATES); do \
	  version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  found="$$found $$candidate ($$version)"; \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue; \
	  new=$$candidate; \
	  "$$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  python=$$candidate; break; \
	done; \
	if [ -z "$$python" ] && [ -n "$$new" ]; then \
	  echo "$$new is new enough, but it cannot make a virtual environment: its venv or ensurepip module is missing." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv. Or name another one: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	elif [ -z "$$python" ]; then \
	  echo "Dalsegno needs Python 3.11 or newer. Found:$${found:- none}." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$python ($$("$$python" -c 'import platform; print(platform.python_version())')); this takes about a minute."; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'import os; print(os.getcwd())' > $@

demo: $(STAMP) ## check a workflow, run it, kill it, resume it, draw it
	@$(BIN)/dalsegno demo $(ARGS)

# A test that hangs ends its process, and with it the run: a new process would be given the same test again, for ever.
# Three files at a time keep two processors busy: a test often waits for a process or for the disk.
test: $(STAMP) ## run the tests, three files at a time
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

# All of it takes two hours or more on two cores, as its parts let expect: make torture SCALE=0.1 makes a tenth of each.
SCALE ?= 1

torture: $(STAMP) ## run the tests that take minutes
	@DALSEGNO_TORTURE=$(SCALE) $(BIN)/python -m pytest -m torture -o faulthandler_timeout=0 $(ARGS)

lint: $(STAMP) ## ruff
	@$(BIN)/ruff check $(ARGS) .

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy $(ARGS)

imports: $(STAMP) ## the rooms import downwards only
	@$(BIN)/lint-imports $(ARGS)

check: lint types imports ## lint, types and imports

bench: $(STAMP) ## measure
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(LOCK)/bin/uv ## write constraints.txt from pyproject.toml (newest of everything: ARGS=--upgrade)
	@$(LOCK)/bin/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --extra a2a --extra distributed --extra examples --extra exact --extra logs --extra mcp --extra models --extra otel \
	  --extra prometheus --extra render --extra serve \
	  --group dev $(ARGS) -o constraints.txt pyproject.toml > /dev/null
	@touch -c constraints.txt

$(LOCK)/bin/uv:
	@rm -rf $(LOCK) && $(firstword $(CANDIDATES)) -m venv $(LOCK) && $(LOCK)/bin/python -m pip install --quiet uv

clean: ## remove .venv and everything that was built or cached
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
