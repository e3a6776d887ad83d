# What one does with this project; each is a line that could be typed. `make help` lists them.

# The database that `make e2e` and `make bench` run on.
BACKEND ?= sqlite
# Further options for `make bench` and `make e2e`, such as ARGS="--scenario put".
ARGS ?=

.PHONY: help run build test lint fmt e2e bench docs

help: ## List the targets
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: ## Serve Sync on http://127.0.0.1:8000, with no configuration
	cargo run --release --bin syncserver

build: ## Build the server: target/release/syncserver
	cargo build --release --bin syncserver

test: ## Run all tests but the one with real Firefoxes
	cargo test --workspace --all-features

lint: ## What has to pass before anything lands, besides the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

fmt: ## Format the code
	cargo fmt --all

e2e: build ## Have two real Firefoxes sync through the server (needs firefox-esr and python3)
	python3 tools/firefox-e2e/run.py --binary target/release/syncserver --backend $(BACKEND) $(ARGS)

bench: build ## Measure the server: whole, under load, and its inner parts
	cargo bench -p syncserver --bench inner
	cargo run --release -p bench -- --spawn target/release/syncserver $(ARGS)

docs: ## Build the book: docs/book (needs mdbook: cargo install mdbook)
	mdbook build docs
