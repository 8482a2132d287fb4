# What a person or a workflow runs. Only Python 3.11 or newer and make have to be there.

PYTHON ?= python3
PYTEST_ARGS ?=
IMAGE ?= exoscale-ai-exporter
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
REVISION = $(shell git rev-parse HEAD)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
OWN := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/runtime ## Run the exporter against the built-in simulator, no credentials needed
	@$(BIN)/exoscale-ai-exporter --demo

test: $(VENV)/dev ## Run the tests, with coverage
	@$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

lint: $(VENV)/dev ## Check format, style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

build: $(VENV)/dev ## Build the source distribution and the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

image: ## Build the image for this machine (needs Docker)
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --tag $(IMAGE):$(VERSION) .

image-push: ## Build and publish the image for amd64 and arm64, with SBOM and provenance (needs Docker with buildx)
	docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max --push \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --tag $(IMAGE):$(VERSION) --tag $(IMAGE):latest .

image-test: $(VENV)/dev ## Build the image with buildah and try it (needs root on Debian, buildah and debootstrap)
	@$(BIN)/python -m tests.image.check

release-check: ## Compare TAG with the version, and the version with the changelog
	@test "$(TAG)" = "v$(VERSION)" || { echo "The tag $(TAG) is not v$(VERSION), the version of exporter/__init__.py."; exit 1; }
	@grep --quiet --fixed-strings "## [$(VERSION)]" CHANGELOG.md || { echo "CHANGELOG.md has no section [$(VERSION)]."; exit 1; }

format: $(VENV)/dev ## Put the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

golden: $(VENV)/dev ## Write the golden files of the tests anew, to be reviewed with git diff
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest --quiet --no-cov tests/test_golden.py tests/test_docs.py tests/deploy

prometheus-rule: $(VENV)/dev ## Write the Kubernetes PrometheusRule anew from the rules
	@$(BIN)/python prometheus/generate.py > prometheus/prometheusrule.yaml

dashboards: $(VENV)/dev ## Write the Grafana dashboards anew from their code
	@$(BIN)/python -m grafana.generate

pictures: $(VENV)/dev ## Draw the pictures of the dashboards anew (needs Prometheus)
	@$(BIN)/python -m tests.grafana.illustrate

chart: $(VENV)/dev ## Write what the Helm chart has from other files anew: rules, dashboards, tables, version
	@$(BIN)/python -m deploy.helm.generate

bench: $(VENV)/dev ## Measure what the exporter costs (needs the Debian package prometheus-pushgateway)
	@$(BIN)/python -m benchmarks

lock: ## Renew the lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --upgrade \
		--custom-compile-command "make lock" pyproject.toml requirements/build.in -o requirements/runtime.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --upgrade \
		--custom-compile-command "make lock" --constraint requirements/runtime.txt \
		pyproject.toml --group dev -o requirements/dev.txt

clean: ## Remove what the targets made
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, set PYTHON=…")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: pyproject.toml requirements/runtime.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) …"
	@$(PIP) --requirement requirements/runtime.txt
	@$(OWN)
	@touch $@

$(VENV)/dev: pyproject.toml requirements/dev.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV), with what the tests need …"
	@$(PIP) --requirement requirements/dev.txt
	@$(OWN)
	@touch $@ $(VENV)/runtime

.PHONY: help demo test lint build image image-push image-test release-check format golden prometheus-rule dashboards pictures chart bench lock clean
