# Everything runs in .venv; see `make help`. On a machine with a ROS 2 distribution use
# rosdep and colcon instead (docs/install.md).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHARE := $(VENV)/share
PYVER := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LOCK := requirements/lock-py$(PYVER).txt
PYTHONS := 3.10 3.11 3.12 3.13
TEST_EXTRAS := sim,train,label,ros,export,docs,view,test
# Exact versions where they were tested together, the ranges of setup.py elsewhere.
PIP_INSTALL := $(BIN)/pip install --quiet $(if $(wildcard $(LOCK)),--constraint $(LOCK))
PACKAGE_FILES := setup.py $(wildcard scripts/*) $(wildcard $(LOCK))
ROS2_PIP_FILES := $(shell find ros2_pip sim_perception/bags/msg -name '*.py' -o -name '*.toml' \
	-o -name '*.msg' -o -name '*.txt' -o -name '*.cmake')

.PHONY: help setup view test test-fast lint demo docs colcon lock lock-others clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.runtime ## Create .venv with locked dependencies, ROS 2 and this package

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip 'setuptools<80' wheel

# Editable install does not place data files: link them, as colcon --symlink-install does.
$(VENV)/.package: $(VENV)/bin/pip $(PACKAGE_FILES)
	@echo 'installing dependencies (a few minutes the first time)'
	$(PIP_INSTALL) --editable '.[sim,train,label,ros]'
	@mkdir -p $(SHARE)/sim_perception $(VENV)/lib/sim_perception \
		$(SHARE)/ament_index/resource_index/packages
	@for name in package.xml launch config models; do \
		ln -sfn $(CURDIR)/$$name $(SHARE)/sim_perception/$$name; done
	@ln -sf $(CURDIR)/resource/sim_perception $(SHARE)/ament_index/resource_index/packages/
	@for node in $$(ls scripts); do \
		ln -sf $(CURDIR)/$(BIN)/$$node $(VENV)/lib/sim_perception/$$node; done
	@touch $@

$(VENV)/.runtime: $(VENV)/.package $(ROS2_PIP_FILES)
	@echo 'building ros2_pip (messages and tools that PyPI lacks)'
	$(PIP_INSTALL) ./ros2_pip
	$(BIN)/python -m ros2_pip_tools.interfaces sim_perception/bags/msg
	@touch $@

view: $(VENV)/.runtime ## Add the viewer, rerun (a download of 220 MB)
	$(PIP_INSTALL) --editable '.[view]'

$(VENV)/.test: $(VENV)/.runtime requirements/readers.txt
	$(PIP_INSTALL) --editable '.[$(TEST_EXTRAS)]'
	@# its declared opencv-python would overwrite opencv-python-headless
	$(PIP_INSTALL) --no-deps trackeval==1.3.0
	@# so would what these ask for; requirements/readers.txt says what
	$(PIP_INSTALL) --no-deps --requirement requirements/readers.txt
	@touch $@

test: $(VENV)/.test ## Run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.test ## Run the tests without the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow'

lint: $(VENV)/.test ## ruff, mypy and the ament linters that are installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v xmllint >/dev/null; then $(BIN)/ament_xmllint package.xml; \
		else echo 'ament_xmllint skipped: install libxml2-utils'; fi

demo: $(VENV)/.runtime ## Run simulator and perception live; pictures and figures in demo_output/
	$(BIN)/python -m training demo --out demo_output

docs: $(VENV)/.test ## Build the documentation site in build/docs; warnings are errors
	$(BIN)/mkdocs build --strict --quiet
	@echo 'open build/docs/index.html, or: $(BIN)/mkdocs serve'

lock: $(VENV)/.test ## Write the exact versions in .venv to requirements/
	$(BIN)/python requirements/lock.py > $(LOCK)

lock-others: $(VENV)/.test ## Resolve them for the other Pythons, as near as can be (needs uv)
	for version in $(filter-out $(PYVER),$(PYTHONS)); do \
		$(BIN)/python requirements/lock.py $$version $(TEST_EXTRAS) \
			> requirements/lock-py$$version.new && \
		mv requirements/lock-py$$version.new requirements/lock-py$$version.txt || exit 1; done

clean: ## Remove .venv and build outputs
	rm -rf $(VENV) build install log demo_output
