# The project's few commands; `make` alone lists them.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python -m
# Without byte code pip is a third faster, and Python compiles what it imports. The log is shown when pip fails.
define INSTALL
$(RUN) pip install --no-input --disable-pip-version-check --no-compile --progress-bar off \
	--constraint constraints.txt --editable '.[$(1)]' > $(VENV)/pip.log 2>&1 || { tail -n 25 $(VENV)/pip.log; exit 1; }
endef
PACKAGES := golden rtl sw verif tests scripts

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test formal soak lint format docs clean distclean

help:  ## this list
	@echo 'make TARGET [PYTHON=python3.12] [WORKERS=2]'
	@sed -n 's/^\([a-z]*\):.*  ## /  \1\t/p' Makefile | expand -t 14

setup: $(VENV)/.dev  ## everything for development, in .venv
	@echo '.venv is ready'

demo: $(VENV)/.demo  ## handwritten digits on the simulated inference chip
	@$(VENV)/bin/gemel run digits

test: $(VENV)/.dev  ## every test, WORKERS at a time
	@$(RUN) pytest -n $(WORKERS) --dist worksteal --durations=15 $(PYTEST)

formal: $(VENV)/.dev  ## the proofs, deeper than `make test` goes
	@$(RUN) pytest -n $(WORKERS) -m slow verif/test_formal.py

soak: $(VENV)/.dev  ## a million cycles of random programs under random stalls, for each of four seeds
	@$(RUN) pytest -n $(WORKERS) -m slow verif/test_soak.py

lint: $(VENV)/.dev  ## ruff, pyright, import directions
	@echo 'ruff'; $(RUN) ruff check --quiet $(PACKAGES) && $(RUN) ruff format --quiet --check $(PACKAGES) \
		|| { echo 'Most of it mends itself: make format'; exit 1; }
	@echo 'pyright'; $(RUN) pyright
	@echo 'imports'; $(RUN) pytest -q tests/test_imports.py tests/test_repository.py

format: $(VENV)/.dev  ## mend what ruff can mend
	@$(RUN) ruff check --quiet --fix $(PACKAGES); $(RUN) ruff format --quiet $(PACKAGES)

docs: $(VENV)/.dev  ## the documentation, in build/site
	@$(VENV)/bin/python scripts/generate_docs.py
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet --strict && echo 'build/site/index.html'

clean:  ## remove what was built, keep .venv
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	@find $(PACKAGES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	@rm -rf $(VENV)

# One environment, grown in two steps: .demo is enough to run models, .dev holds everything.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Gemel needs Python 3.11 or later, and $(PYTHON) is `$(PYTHON) --version 2>&1`: make PYTHON=python3.11"; exit 1; }
	@command -v g++ > /dev/null || echo 'No g++ here: simulation will need one (Debian: apt install g++)'
	@echo 'Creating .venv'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing the simulator and the demo into .venv (half a minute; .venv/pip.log)'
	@$(call INSTALL,demo)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing the tools of development into .venv (a minute or two; .venv/pip.log)'
	@$(call INSTALL,dev)
	@touch $(VENV)/.demo $@
