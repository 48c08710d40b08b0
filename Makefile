# Everything runs in .venv, which tools/setup.sh makes from the pinned requirements.
# Not taken from MAKEFILE_LIST, which a space in the path would cut.
ROOT := $(CURDIR)/
VENV ?= $(ROOT).venv
PYTHON_BIN := "$(VENV)/bin/python"
WORK ?= $(ROOT)build
DATA ?= $(WORK)/academy
HOME_DIR ?= $(WORK)/home
PORT ?= 8080
PROTOCOL ?= live
REGISTRY ?= waymark
BASE ?= python:3.13-slim-trixie
GPU ?= 0
JOBS ?= 2
TAG ?= $(shell cd "$(ROOT)" && BASE="$(BASE)" GPU="$(GPU)" tools/images/tag.sh)
RUN := cd "$(ROOT)" &&
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_USE_LEGACY_KERAS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format bench bench-quality bench-serving bench-data images images-test manifests lock compile clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' "$(ROOT)Makefile" | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  Settings: DATA=$(DATA) HOME_DIR=$(HOME_DIR) PORT=$(PORT)"

setup:  ## Make .venv with everything pinned (quick when it is up to date)
	@"$(ROOT)tools/setup.sh" "$(VENV)"
	@$(RUN) $(PYTHON_BIN) -m components.contract.kernels

run: setup  ## Make the sample academy, train the first release, serve it on PORT
	@$(RUN) { [ -f "$(DATA)/academy.json" ] || [ -n "$$(ls -d "$(DATA)"/events* 2>/dev/null)" ] || $(PYTHON_BIN) -m pipelines academy --out "$(DATA)"; }
	@$(RUN) { [ -e "$(HOME_DIR)/current" ] || $(PYTHON_BIN) -m pipelines run bootstrap --data "$(DATA)" --home "$(HOME_DIR)"; }
	@$(RUN) exec $(PYTHON_BIN) -m serving --home "$(HOME_DIR)" --port $(PORT)

test: setup  ## Run all tests; installs Redis and Chromium for them on Debian
	@"$(ROOT)tools/test-programs.sh"
	@$(RUN) $(PYTHON_BIN) -m pytest -n $(JOBS) $(ARGS)

lint: setup  ## Check style and types
	@$(RUN) $(PYTHON_BIN) -m ruff check . && $(PYTHON_BIN) -m ruff format --check . && $(PYTHON_BIN) -m mypy

format: setup  ## Format the code
	@$(RUN) $(PYTHON_BIN) -m ruff format . && $(PYTHON_BIN) -m ruff check --fix .

bench: setup  ## Measure speed and memory, as ratios against a baseline in the same run
	@$(RUN) $(PYTHON_BIN) -m pytest tests/benchmarks -m bench -s $(ARGS)

bench-quality: setup  ## Measure peers side by side: make bench-quality [DATA=... PROTOCOL=lastout|live]; makes .venv-peers
	@$(RUN) $(PYTHON_BIN) -m tests.benchmarks.quality --data "$(DATA)" --protocol $(PROTOCOL) --out "$(WORK)/quality/$(PROTOCOL)"

bench-serving: setup  ## Measure the server beside an empty one, and fuzz it: make bench-serving [BENCH_HOME=...]
	@$(RUN) $(PYTHON_BIN) -m tests.benchmarks.server --out "$(WORK)/bench" $(ARGS)

bench-data: setup  ## Measure the data path on logs of 1, 10 and 50 million events, and a million lists (an hour, 8 GB of disk)
	@$(RUN) $(PYTHON_BIN) -m tests.benchmarks.data --out "$(WORK)/bench-data" $(ARGS)

images: ## Build the container images: make images [REGISTRY=... TAG=... BASE=... GPU=1]
	@$(RUN) REGISTRY="$(REGISTRY)" TAG="$(TAG)" BASE="$(BASE)" GPU="$(GPU)" tools/images/build.sh

images-test: setup  ## Build and try the serving and light images as containers (root; installs Docker on Debian)
	@$(RUN) REGISTRY="$(REGISTRY)" BASE="$(BASE)" PYTHON=$(PYTHON_BIN) tools/images/test.sh

manifests: setup  ## Build every overlay and check each object against the schemas and our rules
	@$(RUN) $(PYTHON_BIN) -m manifests.check

compile: setup  ## Compile the pipelines to build/pipelines/*.yaml for the images REGISTRY and TAG
	@$(RUN) WAYMARK_REGISTRY=$(REGISTRY) WAYMARK_TAG=$(TAG) $(PYTHON_BIN) -m pipelines compile --out "$(WORK)/pipelines"

lock: setup  ## Pin all requirements anew from the .in files
	@$(RUN) for name in requirements requirements-dev requirements-peers; do \
	  "$(VENV)/bin/uv" pip compile -q --universal --no-header --no-annotate --python-version 3.11 $$name.in -o $$name.txt && \
	  sed -i -E "s/ ; python_full_version < '3.14' and platform_machine == 'x86_64' and sys_platform == 'linux'$$//; s/ and (platform_machine == 'x86_64'|sys_platform == 'linux')//g" $$name.txt; \
	done
	@$(RUN) echo 'tensorflow[and-cuda]' | "$(VENV)/bin/uv" pip compile -q --universal --no-header --no-annotate --python-version 3.11 -c requirements.txt - | sed -nE 's/^(nvidia-[^ ]+).*/\1/p' > tools/images/gpu.txt

clean:  ## Delete the environment, sample data and releases
	@rm -rf "$(VENV)" "$(WORK)"
