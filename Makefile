# ScopeKit on your own machine. Needs Python 3.11 or later, make and a package index; nothing else.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed-from
export PORT

.DEFAULT_GOAL := help
.PHONY: help run stop clean install test check format lock baseline

help: ## Show this
	@echo "ScopeKit: site visits into priced, evidence-backed estimates"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PORT=8001 make run    another port       SCOPEKIT_DIR=/some/where make run    other data"

run: install ## Start everything and print the URL; Ctrl-C stops it, data stays in .scopekit
	@exec $(BIN)/python -m devstack.up --with-parent

stop: ## Stop what `make run` started elsewhere
	@$(PYTHON) -m devstack.down stop

clean: ## Remove .scopekit (all local data) and .venv; refuses while running
	@$(PYTHON) -m devstack.down clean
	@rm -rf .venv

install: ## Build .venv from requirements.lock, when either changed
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ScopeKit needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@want="$$($(PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(open("requirements.lock", "rb").read()).hexdigest(), *sys.version_info[:2])')"; \
	if [ "$$want" != "$$(cat $(STAMP) 2>/dev/null)" ] || ! $(BIN)/python -c '' 2>/dev/null; then \
		echo "Installing the pinned packages into .venv; the first time this downloads about 500 MB ..."; \
		rm -f $(STAMP) && \
		$(PYTHON) -m venv $$($(BIN)/python -c "import sys; sys.exit('$${want#* }' != '%d %d' % sys.version_info[:2])" 2>/dev/null || echo --clear) .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock && \
		echo "$$want" > $(STAMP); \
	fi

test: install ## Run the tests; ARGS= is handed to pytest
	@$(BIN)/python -m pytest -n 3 $(ARGS)

check: install ## Everything CI checks: format, lint, types, floors, tests
	@echo "== format";  $(BIN)/ruff format --check .
	@echo "== lint";    $(BIN)/ruff check .
	@echo "== types";   $(BIN)/mypy --strict .
	@echo "== floors";  $(BIN)/lint-imports
	@echo "== tests";   $(BIN)/python -m pytest -n 3 $(ARGS)

format: install ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

baseline: install ## Write the baseline migration from store/schema/*.sql
	@$(BIN)/python -m store.schema.build

lock: ## Resolve both locks anew; needs uv
	uv pip compile --universal --python-version 3.11 pyproject.toml --extra local --extra otel --group dev --group bench \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	uv pip compile --universal --python-version 3.11 pyproject.toml --extra otel --constraints requirements.lock \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o deploy/requirements.lock
