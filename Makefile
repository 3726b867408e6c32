# `make demo` shows the main job, `make test` proves it; both do all their own set-up on Debian 12 with a Rust toolchain.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(if $(HINDSIGHT_CACHE),$(HINDSIGHT_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/hindsight)
export PATH := $(CACHE)/node/bin:$(PATH):$(HOME)/.cargo/bin
unexport npm_config_nodedir
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# The window's toolkit is built apart: a change of the server never builds it again, and nothing else waits for it.
REST := --workspace --exclude hindsight-desktop
SHELL_CRATE := -p hindsight-desktop --features custom-protocol
BIN := $(CARGO_TARGET_DIR)/release
ARGS ?=
ONLY ?=

.PRECIOUS: ui/%/node_modules/.package-lock.json
.PHONY: help demo test check bench build desktop deb rpm ui generated setup clean tools

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## a real call and this screen, or a virtual one: recorded, sealed, found, replayed (ARGS=--exit: ends after the checks)
	@packaging/setup.sh build demo
	@$(MAKE) --no-print-directory build
	@$(BIN)/hindsight-demo $(ARGS)

test: ## formatting, lints, generated files, every test
	@packaging/setup.sh build desktop package test
	@$(MAKE) --no-print-directory ui
	cargo fmt --all --check
	cargo clippy --release $(REST) --all-targets --locked -- -D warnings
	cargo clippy --release $(SHELL_CRATE) --all-targets --locked -- -D warnings
	cd ui/console && npm run --silent check && npm run --silent api:unchanged && npm test --silent
	cd ui/desktop && npm run --silent check && npm test --silent && npm run --silent look
	cargo build --release $(REST) --examples --bins --locked
	@$(MAKE) --no-print-directory desktop
	cargo nextest run --release $(SHELL_CRATE) --locked
	cargo nextest run --release $(REST) --locked

check: ## the quick part of test: formatting, lints, unit tests
	@packaging/setup.sh build check
	cargo fmt --all --check
	cargo clippy --release $(REST) --all-targets --locked -- -D warnings
	@packaging/check-systems.sh
	cargo nextest run --release $(REST) --locked --lib --bins

bench: ## figures as ratios to peers measured in the same minute (ONLY=name for one)
	@packaging/setup.sh build bench
	@$(MAKE) --no-print-directory build
	@$(BIN)/hindsight-bench $(ONLY)

build: tools ui ## the release programs: server, recorder, updater, demo
	cargo build --release $(REST) --examples --bins --locked

desktop: tools ui ## the agent's desktop program (tray and window), and the recorder and updater that it needs
	@packaging/setup.sh desktop
	cargo build --release $(REST) --bin hindsight-recorder --bin hindsight-update --locked
	cargo build --release $(SHELL_CRATE) --locked

deb: ## Debian packages of the desktop and the server from the built programs, in target/packages
	@packaging/setup.sh build package
	@$(MAKE) --no-print-directory build desktop
	@packaging/packages.sh deb

rpm: ## the same as RPM packages
	@packaging/setup.sh build package
	@$(MAKE) --no-print-directory build desktop
	@packaging/packages.sh rpm

# What everything is built with. Order-only below: it runs first, once, and makes nothing out of date.
tools:
	@packaging/setup.sh build

ui/%/node_modules/.package-lock.json: ui/%/package-lock.json | tools
	cd ui/$* && npm ci --no-audit --no-fund --loglevel=error

ui_sources = $(shell find ui/$(1)/src ui/$(1)/public -type f 2>/dev/null) $(wildcard ui/$(1)/*.ts ui/$(1)/*.js ui/$(1)/*.html ui/$(1)/package.json)
ui/console/dist/index.html: $(call ui_sources,console)
ui/desktop/dist/index.html: $(call ui_sources,desktop)

ui/%/dist/index.html: ui/%/node_modules/.package-lock.json
	cd ui/$* && npm run build --silent

ui: ui/console/dist/index.html ui/desktop/dist/index.html ## the web console and the desktop's window, embedded in the programs

generated: ## writes the generated files anew (OpenAPI and its TypeScript client)
	$(BIN)/hindsight-server openapi > packaging/reference/openapi.json
	cd ui/console && npm run api

setup: ## only what all of this needs: Debian, Python and npm packages, Node, cargo-nextest
	@packaging/setup.sh
	@$(MAKE) --no-print-directory ui/console/node_modules/.package-lock.json ui/desktop/node_modules/.package-lock.json

clean: ## removes what was built
	cargo clean
	rm -rf ui/*/node_modules ui/*/dist ui/*/dist-mock
