# The course in a few verbs; `make help` lists them. Each sets up .venv by itself, once.
PYTHON ?= python3
IP     ?= 127.0.0.1
PORT   ?= 8888
CPU    ?=
ALL    ?=
REPO   ?=
BRANCH ?=
LESSONS ?=

# Of other environments than .venv: Colab's Python, and the oldest that the course supports.
COLAB_PYTHON  ?= $(if $(shell python3.13 -V 2>/dev/null),python3.13,$(PYTHON))
OLDEST_PYTHON ?= $(if $(shell python3.11 -V 2>/dev/null),python3.11,$(PYTHON))

BIN   := .venv/bin
READY := .venv/.ready
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=300 --nbval-sanitize-with nbval.cfg

# Below 0.26 typer shows no help of arguments beside click 8.5. Later ones bring a click of their own.
TOO_NEW := "click<8.5"

# What is stored in the notebooks was made like this, so it is compared like this.
STORED := COURSE_DEVICE=cpu COURSE_BUDGET=quick

# uv asks the index that pip asks; with CPU=1, PyTorch's own for torch.
UV := index=$$($(BIN)/python -m pip config get global.index-url 2>/dev/null) && export UV_DEFAULT_INDEX="$$index"; $(BIN)/uv
# Compiled once at the installation: otherwise each first import is, and each import where Python may not write.
UV_INSTALL := $(UV) pip install --quiet --compile-bytecode $(if $(CPU),--torch-backend=cpu)
UNIT := -n 2 --dist loadscope --no-loadscope-reorder --durations=20 $(if $(ALL),,-m "not slow") tests --ignore=tests/browser

# No reports to anyone; root (in a container) may run the server too.
export HF_HUB_DISABLE_TELEMETRY := 1
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help lab test test-code test-playground test-browser test-colab test-lowest test-newest lint format notebooks site colab clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Settings: PYTHON=python3.12  PORT=8888  IP=127.0.0.1  CPU=1 (install torch without CUDA)  ALL=1 (all tests)"

lab: $(READY) ## open JupyterLab at lesson 1
	@mkdir -p .venv/share/jupyter/lab/settings
	@cp tools/jupyterlab.json .venv/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter lab --ip=$(IP) --port=$(PORT) $(AS_ROOT) \
	  --LabApp.default_url=/lab/tree/notebooks/01_gan_intuition.ipynb \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	  --LabApp.extension_manager=readonly

test: test-code $(if $(ALL),test-browser,test-playground) ## check style, run the unit tests, every lesson, and one in a browser; ALL=1: all tests

test-playground: $(READY)
	$(STORED) $(BIN)/pytest tests/browser/test_playground.py

test-code: lint ## the same without a browser
	$(STORED) $(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder $(NBVAL) --durations=20 $(if $(ALL),,-m "not slow") \
	  notebooks tests --ignore=tests/browser

# Two lessons at a time, each worker with a JupyterLab and a browser of its own.
test-browser: $(READY) ## run every lesson in JupyterLab in a browser, and use each of its widgets
	$(STORED) $(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=20 tests/browser

test-colab: $(READY) .venv-colab/.ready ## run the lessons on Colab's versions, as Colab does; LESSONS="3 5b": these
	$(BIN)/python -m tools.colab .venv-colab $(LESSONS)

test-lowest: .venv-lowest/.ready ## run the unit tests on the lowest versions that pyproject.toml allows
	$(STORED) .venv-lowest/bin/pytest $(UNIT)

test-newest: $(READY) ## run the unit tests on the newest versions there are
	@test -x .venv-newest/bin/python || $(BIN)/uv venv --quiet --python "$(PYTHON)" .venv-newest
	@$(UV_INSTALL) --python .venv-newest/bin/python --upgrade -e ".[test]"
	$(STORED) .venv-newest/bin/pytest $(UNIT)

lint: $(READY) ## check style, in code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(READY) ## run every lesson and store its outputs
	$(STORED) $(BIN)/python -m tools.notebooks run

site: $(READY) ## make a website of the lessons, in site/: it needs no kernel and no network
	$(BIN)/python -m tools.site

colab: $(READY) ## REPO=owner/name BRANCH=main: put this address into badges and setup cells
	$(BIN)/python -m tools.notebooks stamp $(if $(REPO),--repository $(REPO)) $(if $(BRANCH),--branch $(BRANCH))

clean: ## remove .venv and everything else that was made here
	rm -rf .venv .venv-colab .venv-lowest .venv-newest dist build site .pytest_cache .ruff_cache
	find course_lib tests tools notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The course needs Python 3.11 or newer, and \`$(PYTHON)\` is not that. Name one that is:" >&2; \
	  echo "    make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  rm -rf .venv; \
	  echo "\`$(PYTHON) -m venv\` failed. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Installing the course into .venv (a minute or a few, once) ..."
	@$(BIN)/python -m pip install --quiet uv
	@$(UV_INSTALL) --python $(BIN)/python -c constraints.txt -e ".[test]"
	@touch $@

.venv-colab/.ready: tests/colab/packages.txt | $(READY)
	@echo "Installing Colab's versions into .venv-colab (a few minutes, once) ..."
	@$(BIN)/uv venv --quiet --clear --python "$(COLAB_PYTHON)" .venv-colab
	@$(UV_INSTALL) --python .venv-colab/bin/python -r $<
	@touch $@

.venv-lowest/.ready: pyproject.toml | $(READY)
	@echo "Installing the lowest versions into .venv-lowest (a few minutes, once) ..."
	@$(BIN)/uv venv --quiet --clear --python "$(OLDEST_PYTHON)" .venv-lowest
	@$(UV_INSTALL) --python .venv-lowest/bin/python --resolution lowest-direct -e ".[test]" $(TOO_NEW)
	@touch $@
