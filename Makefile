# `make demo` shows the main job, `make test` proves it; both do all their own set-up on Debian 12 with a Rust toolchain.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(if $(HINDSIGHT_CACHE),$(HINDSIGHT_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/hindsight)
export PATH := $(CACHE)/node/bin:$(PATH):$(HOME)/.cargo/bin
unexport npm_config_nodedir
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/release
ARGS ?=
ONLY ?=

.PHONY: help demo test check bench build ui generated setup clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## a real call and its screen: recorded, sealed, found, replayed (ARGS=--exit ends after the checks)
	@packaging/setup.sh build demo
	@$(MAKE) --no-print-directory build
	@$(BIN)/hindsight-demo $(ARGS)

test: ## formatting, lints, generated files, every test
	@packaging/setup.sh build test
	@$(MAKE) --no-print-directory ui
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	cd ui/console && npm run --silent check && npm run --silent api:unchanged && npm test --silent
	cargo build --release --workspace --examples --bins --locked
	cargo nextest run --release --workspace --locked

check: ## the quick part of test: formatting, lints, unit tests
	@packaging/setup.sh build
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	cargo nextest run --release --workspace --locked --lib --bins

bench: ## figures as ratios to peers measured in the same minute (ONLY=name for one)
	@packaging/setup.sh build bench
	@$(MAKE) --no-print-directory build
	@$(BIN)/hindsight-bench $(ONLY)

build: ui ## the release programs
	cargo build --release --workspace --examples --bins --locked

ui/console/node_modules/.package-lock.json: ui/console/package-lock.json
	cd ui/console && npm ci --no-audit --no-fund --loglevel=error

UI_SOURCES := $(shell find ui/console/src ui/console/public -type f 2>/dev/null) $(wildcard ui/console/*.ts ui/console/*.js ui/console/*.html ui/console/package.json)

ui/console/dist/index.html: ui/console/node_modules/.package-lock.json $(UI_SOURCES)
	cd ui/console && npm run build --silent

ui: ui/console/dist/index.html ## the web console, embedded in the server binary

generated: ## writes the generated files anew (OpenAPI and its TypeScript client)
	$(BIN)/hindsight-server openapi > packaging/reference/openapi.json
	cd ui/console && npm run api

setup: ## only the Debian, Python and npm packages
	@packaging/setup.sh

clean: ## removes what was built
	cargo clean
	rm -rf ui/*/node_modules ui/*/dist
