# Everything a developer or a newcomer runs. Targets that need .venv bring it in step first (scripts/venv), which costs
# nothing when it is.

PYTHON = python3
# Decides order and moments of faults, and what the receiver answers.
SEED = 1
BIN = .venv/bin
# Tests wait more than they work: three processes on two cores, and four at the most. Four on two were no quicker.
TESTERS = $(shell $(PYTHON) -c 'import os; print(min(4, max(1, (os.cpu_count() or 1) * 3 // 2)))')
HEAD = @printf '\n== %s\n'
# For `make lock` alone, in a venv of its own: nobody else needs it.
UV = uv==0.13.9
# What `make audit` and `make release` ask and write with, in a venv of its own.
AUDITORS = pip-audit==2.10.1 cyclonedx-bom==7.5.0 $(UV)
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package noteflow-hooks-client --custom-compile-command 'make lock'
# What the image holds (prod) and is built with (build) is what the checks ran with.
LIKE_DEV = $(UPGRADE) --constraint requirements/dev.lock

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup: venv-dev ## make .venv with everything the checks need

demo: venv-run ## a meeting's events, delivered and verified, on servers of its own
	@exec $(BIN)/noteflow-hooks demo

up: venv-run ## the whole system, kept running until Ctrl-C
	@exec $(BIN)/noteflow-hooks up

migrate: venv-run ## bring NOTEFLOW_HOOKS_DATABASE_URL to the newest schema
	@exec $(BIN)/noteflow-hooks migrate

check: quick ## what needs no tests: format, lint, layers, generated code, types
	$(HEAD) 'types'
	@$(BIN)/mypy

# Types are checked beside the tests, and told of after them.
test: quick ## every check that CI makes
	$(HEAD) 'tests, and types beside them'
	@scripts/browser
	@scripts/prometheus
	@scripts/tests --numprocesses=$(TESTERS) --dist=loadfile --no-loadscope-reorder

chaos: venv-dev ## kill everything, five minutes (make chaos SEED=2 differs); then the tests that take minutes
	@$(BIN)/python -m tests.chaos --seed $(SEED)
	@$(BIN)/python -m pytest -m chaos

bench: venv-dev ## measure the whole system, about twelve minutes; results go to docs/performance
	@exec $(BIN)/noteflow-hooks bench --output docs/performance

bench-full: venv-dev ## the same, and what takes minutes more
	@exec $(BIN)/noteflow-hooks bench --full --output docs/performance

coverage: venv-dev ## which branches the tests reach; takes twice as long
	@$(BIN)/python -m pytest --cov

fmt: venv-dev ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

proto: venv-dev ## generate the gRPC code from the proto
	@$(BIN)/python scripts/generate_proto.py

pictures: venv-dev ## make the pictures of docs: the dashboard's, Flower's, and the drawings
	@scripts/browser
	@$(BIN)/python scripts/pictures.py
	@$(BIN)/python scripts/flower_pictures.py
	@$(BIN)/python scripts/drawings.py

catalogue: venv-dev ## generate the event types' schemas, asyncapi.yaml and openapi.yaml
	@$(BIN)/python scripts/generate_catalogue.py

reference: venv-dev ## generate the pages of docs/reference: events, calls, commands, settings
	@$(BIN)/python scripts/generate_reference.py

docs: venv-dev ## build the site of docs/ and serve it, until Ctrl-C
	@exec $(BIN)/python scripts/site.py

lock: ## renew the lock files (all to their newest: make lock UPGRADE=--upgrade)
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install -qq $(UV)
	@$(COMPILE) $(UPGRADE) pyproject.toml --group build --all-extras --output-file requirements/dev.lock
	@$(COMPILE) $(LIKE_DEV) pyproject.toml --group build --extra dashboard --extra embedded --extra schemas --extra filters --extra metrics --extra tracing \
		--output-file requirements/run.lock
	@$(COMPILE) $(LIKE_DEV) pyproject.toml --extra dashboard --extra flower --extra schemas --extra filters --extra metrics --extra tracing \
		--output-file requirements/prod.lock
	@$(COMPILE) $(LIKE_DEV) --group build --output-file requirements/build.lock
	@$(COMPILE) $(LIKE_DEV) client/pyproject.toml --output-file requirements/client.lock

kits: venv-dev ## run the receiver kits in their languages and under their frameworks, which it brings
	@scripts/kits

audit: venv-audit ## say what is known to be vulnerable, or yanked, of what the lock files pin
	@scripts/audit

release: venv-dev venv-audit ## build the wheels, the same bytes each time, with their bills of materials and sums, into dist/
	@scripts/release

clean: ## remove .venv, caches and reports; the data of demo and up stays
	@rm -rf .venv .venv-lock .venv-audit .browser .prometheus .kits .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov build dist
	@rm -f .coverage .coverage.* docs/changelog.md docs/contributing.md docs/kit-files.md
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

quick: venv-dev
	$(HEAD) 'format'
	@$(BIN)/ruff format --check .
	$(HEAD) 'lint'
	@$(BIN)/ruff check .
	$(HEAD) 'layers'
	@$(BIN)/lint-imports
	$(HEAD) 'generated code'
	@$(BIN)/python scripts/generate_proto.py --check
	@$(BIN)/python scripts/generate_catalogue.py --check
	@$(BIN)/python scripts/generate_reference.py --check

venv-run:
	@PYTHON='$(PYTHON)' scripts/venv run

venv-dev:
	@PYTHON='$(PYTHON)' scripts/venv dev

venv-audit:
	@[ -x .venv-audit/bin/cyclonedx-py ] || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install -qq $(AUDITORS)

.PHONY: help setup demo up migrate check quick test kits chaos bench bench-full coverage fmt proto pictures catalogue reference docs lock audit release clean venv-run venv-dev venv-audit
