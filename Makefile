# ScopeKit on your own machine. Needs Python 3.11 or later, make and a package index; nothing else.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed-from
export PORT

.DEFAULT_GOAL := help
.PHONY: help run dev stop clean install develop test interop check format site image image-check licenses sbom lock baseline

help: ## Show this
	@echo "ScopeKit: site visits into priced, evidence-backed estimates"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PORT=8001 make run    another port       SCOPEKIT_DIR=/some/where make run    other data"

run: install ## Start everything and print the URL; Ctrl-C stops it, data stays in .scopekit
	@exec $(BIN)/python -m devstack.up --with-parent

dev: develop ## The same, and what you change is restarted; developers' tools are installed too
	@DRAIN_SECONDS=$${DRAIN_SECONDS:-1} exec $(BIN)/python -m devstack.up --with-parent --procfile Procfile.dev

stop: ## Stop what `make run` started elsewhere
	@$(PYTHON) -m devstack.down stop

clean: ## Remove .scopekit (all local data) and .venv; refuses while running
	@$(PYTHON) -m devstack.down clean
	@rm -rf .venv

install: ## Build .venv from requirements.lock, when either changed
	@$(call install_from,requirements.lock,requirements-dev.lock)

develop: ## The same with what tests and checks need
	@$(call install_from,requirements-dev.lock)

# $(call install_from,LOCK[,LOCK THAT HOLDS IT TOO])
define install_from
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "ScopeKit needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$(PYTHON) comes without venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
have="$$(cat $(STAMP) 2>/dev/null)"; \
for lock in $(2) $(1); do \
	want="$$($(PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest(), *sys.version_info[:2])' $$lock)"; \
	if [ "$$want" = "$$have" ] && $(BIN)/python -c '' 2>/dev/null; then exit 0; fi; \
done; \
echo "Installing the pinned packages of $(1) into .venv; the first time this downloads some 400 MB ..."; \
rm -f $(STAMP) && \
$(PYTHON) -m venv $$($(BIN)/python -c "import sys; sys.exit('$${want#* }' != '%d %d' % sys.version_info[:2])" 2>/dev/null || echo --clear) .venv && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r $(1) && \
echo "$$want" > $(STAMP)
endef

test: develop ## Run the tests; ARGS= is handed to pytest
	@$(BIN)/python -m pytest -n 3 $(ARGS)

interop: develop ## Every client behind every proxy and fault, and five generators of clients, a real model: 20 minutes
	@SCOPEKIT_INTEROP=1 $(BIN)/python -m pytest tests/proxies tests/interop $(ARGS)

check: develop ## Everything CI checks: format, lint, types, import contracts, site, tests
	@echo "== format";  $(BIN)/ruff format --check .
	@echo "== lint";    $(BIN)/ruff check .
	@echo "== types";   $(BIN)/mypy --strict .
	@echo "== imports"; $(BIN)/lint-imports
	@echo "== site";    $(SITE)
	@echo "== tests";   $(BIN)/python -m pytest -n 3 $(ARGS)

# A link that leads nowhere, to a page or to a heading, is an error.
SITE = $(BIN)/python -m sphinx -q -n -W --keep-going -c docs -b dirhtml . build/site

site: develop ## Build the documents' site into build/site; a broken link fails
	@$(SITE)
	@echo "build/site/docs/index.html"

format: develop ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

IMAGE := localhost/scopekit:$(or $(TAG),latest)

image: ## Build the image with buildah; TAG=, and LOCK=requirements.lock for the engine that needs no key
	@deploy/image/build.sh $(IMAGE)

image-check: develop image ## Bring compose.yaml up with it, in network namespaces; needs root, buildah, bubblewrap, caddy
	@SCOPEKIT_IMAGE=$(IMAGE) $(BIN)/python -m pytest $(ARGS) tests/image

baseline: install ## Write the baseline migration from store/schema/*/*.sql
	@$(BIN)/python -m store.schema.build

licenses: install ## Print the licences of all that is installed: packages, codecs, fonts, models, servers
	@$(BIN)/python -m devstack.inventory licenses

sbom: install ## Print the same as a bill of materials (CycloneDX 1.6, JSON)
	@$(BIN)/python -m devstack.inventory sbom

RESOLVE := uv pip compile --universal --python-version 3.11 pyproject.toml --generate-hashes --no-emit-index-url \
	--no-annotate --no-header

lock: ## Resolve the three locks anew: develop, run, deploy; needs uv
	$(RESOLVE) --extra local --extra otel --group dev --group docs --group bench -o requirements-dev.lock
	$(RESOLVE) --extra local --extra otel --constraints requirements-dev.lock -o requirements.lock
	$(RESOLVE) --extra otel --constraints requirements-dev.lock -o deploy/requirements.lock
