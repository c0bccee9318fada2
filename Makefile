# A directory that holds fixtures.yaml is a policy; nothing lists them.
POLICIES := $(patsubst policies/%/fixtures.yaml,%,$(wildcard policies/*/fixtures.yaml))
MODULES  := $(POLICIES:%=target/policies/%.wasm)
PACKAGES := $(POLICIES:%=target/packages/%.wasm)

SOURCES  := $(shell find policies -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock .cargo/config.toml rust-toolchain.toml
WASM     := target/wasm32-unknown-unknown/wasm
WASM_OPT := target/binaryen/node_modules/.bin/wasm-opt
LINK     := target/debug/podfence-link

PODFENCE := target/release/podfence
# With publishing, which most never need. The features of its dependencies differ, so what both are built from would be
# built back and forth: all that is built with publishing, and so all tests of host-test/, has a directory of its own.
PUBLISHER := target/publish/release/podfence
RELEASE   := --locked --release --target-dir target/publish
PUBLISH   := --features podfence/publish
# Selected together, they have the same dependencies in each of these builds.
HARNESS   := $(foreach crate,$(patsubst host-test/%/Cargo.toml,%,$(wildcard host-test/*/Cargo.toml)),-p $(patsubst podfence-podfence,podfence,podfence-$(crate)))

# What is installed and released has publishing, and the modules in it.
FEATURES_RELEASED := podfence/publish,podfence/embedded
VERSION  := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
SCRIPTS  := host-test/podfence/install
PREFIX   ?= /usr/local
# Of `make dist`: this machine, without a C library to depend on.
TARGET   ?= $(shell uname -m)-unknown-linux-musl
PROGRAM  ?= target/dist/$(TARGET)/dist/podfence
# What can be run here, to print completions and man pages.
RUNNABLE ?= $(PROGRAM)

CARGO_HOME ?= $(HOME)/.cargo
# The same bytes wherever the repository and cargo's files are.
REMAP := target.wasm32-unknown-unknown.rustflags=["--remap-path-prefix=$(CURDIR)=/podfence","--remap-path-prefix=$(CARGO_HOME)=/cargo"]
# What wasmtime has by default and the compiler was told to use; all features would be more than it has.
FEATURES := --enable-simd --enable-bulk-memory --enable-sign-ext --enable-mutable-globals --enable-nontrapping-float-to-int

# For OPA and other hosts of its modules. They are built apart: one file in cargo's directory has one ABI.
OPA_BUILT   := $(POLICIES:%=target/opa/built/%.wasm)
OPA_MODULES := $(POLICIES:%=target/opa/%.wasm)
OPA_BUNDLE  := target/opa/podfence-bundle.tar.gz
OPA_CLIENTS := target/opa-clients
# The host's memory, of which five pages are what every host brings.
OPA_LINK := -Clink-arg=--import-memory -Clink-arg=--export-memory -Clink-arg=--initial-memory=327680

CONTROL_PLANE := $(addprefix target/control-plane/,kube-apiserver kube-controller-manager kubectl)
FUNCTIONS := target/control-plane/functions

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

all: modules $(PODFENCE) ## Build the modules and the command, and run their fixtures
	@$(PODFENCE) test
	@echo 'Built the modules in target/policies and the command $(PODFENCE). Try: $(PODFENCE) explain privileged'

modules: $(MODULES) ## Build the modules: target/policies/<policy>.wasm

# Each one alone: together, cargo would unify their features.
target/policies/%.wasm: $(SOURCES) Makefile $(LINK) | toolchain $(WASM_OPT)
	@mkdir -p $(@D)
	@echo 'module   $*'
	@cargo rustc --quiet --locked --profile wasm --target wasm32-unknown-unknown -p podfence-$* --features wapc \
		--crate-type cdylib --config '$(REMAP)'
	@$(WASM_OPT) $(FEATURES) -Os $(WASM)/podfence_$(subst -,_,$*).wasm -o $(WASM)/$*.wasm
	@$(LINK) $(WASM)/$*.wasm $@

$(LINK): $(shell find policies/link -name '*.rs' -o -name Cargo.toml)
	@cargo build --quiet --locked -p podfence-link
	@touch $@

# Cargo decides what is to be built again.
$(PODFENCE): toolchain
	@echo 'podfence (the first time, its dependencies take some minutes)'
	@cargo build --locked --release -p podfence

# In a directory of its own, the binary stays when $(PODFENCE) is built again; what it is built from is shared.
standalone: package ## Build the command with the packaged modules in it: target/standalone/podfence
	@cargo build --locked --release -p podfence --features embedded
	@mkdir -p target/standalone
	@cp $(PODFENCE) target/standalone/podfence

publish-tools: toolchain ## Build the command with publishing: target/publish/release/podfence
	@echo 'podfence with publishing'
	@cargo build $(RELEASE) $(PUBLISH) $(HARNESS)

install: package ## Install the command with its modules, completions and man pages: PREFIX=/usr/local, DESTDIR
	@echo 'podfence with its modules'
	@cargo build $(RELEASE) --features $(FEATURES_RELEASED) $(HARNESS)
	@$(SCRIPTS)/check.sh $(PUBLISHER)
	@install -d '$(DESTDIR)$(PREFIX)/bin'
	@install -m 755 $(PUBLISHER) '$(DESTDIR)$(PREFIX)/bin/podfence'
	@$(SCRIPTS)/share.sh $(PUBLISHER) '$(DESTDIR)$(PREFIX)/share'

dist: package ## Build a static release for this machine: target/dist/podfence-<version>-<target>.tar.gz
	@rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)
	@echo 'podfence for $(TARGET) (the first time, its dependencies take some minutes)'
	@cargo build --locked --profile dist --target $(TARGET) --target-dir target/dist -p podfence --features $(FEATURES_RELEASED)
	@$(SCRIPTS)/check.sh $(PROGRAM)
	@$(MAKE) --no-print-directory archive

archive: ## Pack a built program: TARGET, PROGRAM; RUNNABLE, where PROGRAM is for another machine
	@$(SCRIPTS)/archive.sh $(PROGRAM) podfence-$(VERSION)-$(TARGET) $(RUNNABLE)

image: ## Lay out the context of the container image: target/image, of the archives for Linux in target/dist
	@$(SCRIPTS)/image.sh $(VERSION)

# A visible skip: what needs PyPI or root is not needed to work on the policies.
install-test: dist ## Test the static release: in an empty directory as a container has it, and as a hook of pre-commit
	@if command -v shellcheck > /dev/null; then shellcheck $(SCRIPTS)/*.sh; else echo 'skipped: shellcheck, for there is none'; fi
	@$(SCRIPTS)/test.sh target/dist/podfence-$(VERSION)-$(TARGET).tar.gz

test: lint modules opa registry $(OPA_CLIENTS)/node ## Pass all tests and gates
	cargo test --locked
	cargo test $(RELEASE) $(PUBLISH) $(HARNESS)
	cargo test $(RELEASE) $(HARNESS) --test without_publishing
	$(PUBLISHER) test
	$(PUBLISHER) test --abi opa
	$(MAKE) --no-print-directory reproducible
	cargo test $(RELEASE) --features podfence/embedded $(HARNESS) --test embedded

opa: $(OPA_BUNDLE) ## Build the modules for OPA and other hosts of its modules: target/opa/<policy>.wasm, and their bundle

target/opa/built/%.wasm: $(SOURCES) Makefile | toolchain $(WASM_OPT)
	@mkdir -p $(@D)
	@echo 'for OPA  $*'
	@cargo rustc --quiet --locked --profile wasm --target wasm32-unknown-unknown --target-dir target/opa/cargo -p podfence-$* \
		--features opa --crate-type cdylib --config '$(REMAP)' -- $(OPA_LINK)
	@$(WASM_OPT) $(FEATURES) -Os target/opa/cargo/wasm32-unknown-unknown/wasm/podfence_$(subst -,_,$*).wasm -o $@

$(OPA_MODULES) &: $(OPA_BUILT) | publish-tools
	$(PUBLISHER) package --opa $(OPA_BUILT)

$(OPA_BUNDLE): $(OPA_MODULES)
	$(PUBLISHER) bundle $(OPA_MODULES) --out $@

# Visible skips: what needs other languages is not needed to work on the policies.
$(OPA_CLIENTS)/node: $(addprefix host-test/opa/,client.mjs package.json package-lock.json)
	@mkdir -p $@
	@cp $^ $@
	@! command -v npm > /dev/null || (cd $@ && npm ci --silent --no-audit --no-fund)
	@touch $@

$(OPA_CLIENTS)/python: $(addprefix host-test/opa/,client.py requirements.txt)
	@mkdir -p $@
	@cp $^ $@
	@! command -v python3 > /dev/null || python3 -m pip install --quiet --root-user-action ignore --require-hashes --only-binary :all: --no-deps \
		--upgrade --target $@ -r $@/requirements.txt
	@touch $@

target/tools/bin/opa:
	@echo 'opa'
	@GOBIN=$(CURDIR)/$(@D) CGO_ENABLED=0 go install -trimpath -tags opa_wasm -ldflags='-s -w' github.com/open-policy-agent/opa@v1.22.3

opa-test: opa registry $(OPA_CLIENTS)/node $(OPA_CLIENTS)/python ## Test the modules for OPA in OPA itself, and with the clients of Node and Python
	@if command -v go > /dev/null; then $(MAKE) --no-print-directory target/tools/bin/opa; \
		else echo 'opa-test: OPA itself is skipped, for there is no go; Go 1.26 builds it'; fi
	cargo test $(RELEASE) $(PUBLISH) $(HARNESS) --test clients -- --include-ignored --nocapture
	cargo test $(RELEASE) $(PUBLISH) $(HARNESS) --test registry opa_loads

# A visible skip: what needs Go and etcd is not needed to work on the policies.
cluster-test: ## Test the policies in a living cluster: API server and controllers from source (ten minutes the first time)
	@command -v go > /dev/null || { echo 'cluster-test: skipped, for there is no go; Go 1.26 builds the API server'; exit 0; }; \
	command -v etcd > /dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null \
		|| { echo 'etcd-server'; { apt-get update && apt-get install --yes etcd-server; } > /dev/null 2>&1; } || true; \
	command -v etcd > /dev/null || { echo 'cluster-test: skipped, for there is no etcd; etcd-server of Debian has it'; exit 0; }; \
	$(MAKE) --no-print-directory modules control-plane helm reader-truth && \
	cargo test --locked --quiet --release -p podfence-cluster --test chart && \
	cargo run --locked --release -p podfence-control-plane -- '$(FILTER)'

helm: target/tools/bin/helm ## Build Helm with Go, for the test of the chart: target/tools/bin/helm

target/tools/bin/helm:
	@echo 'helm'
	@GOBIN=$(CURDIR)/$(@D) CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' helm.sh/helm/v3/cmd/helm@v3.22.0

control-plane: $(CONTROL_PLANE) $(FUNCTIONS) ## Build kube-apiserver, kube-controller-manager and kubectl: target/control-plane

# The version of go.mod, which the binaries say by themselves in no other way.
$(CONTROL_PLANE) &: host-test/control-plane/go.mod host-test/control-plane/go.sum
	@echo 'kube-apiserver, kube-controller-manager and kubectl (the first time, ten minutes)'
	@mkdir -p target/control-plane
	@set -e; cd host-test/control-plane; version=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes); flags='-s -w'; \
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do \
		flags="$$flags -X $$package.gitVersion=$$version"; \
	done; \
	CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$$flags" -o ../../target/control-plane/ \
		k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kubectl

# What says what Kubernetes' own functions make of objects.
$(FUNCTIONS): host-test/control-plane/functions/main.go host-test/control-plane/go.mod host-test/control-plane/go.sum
	@echo '$(notdir $@)'
	@mkdir -p $(@D)
	@cd host-test/control-plane && CGO_ENABLED=0 go build -mod=readonly -trimpath -o ../../$@ ./functions

# What the tables of the reader and of quantities hold is what kubectl and Kubernetes read today.
reader-truth: control-plane
	@set -e; cd host-test/scan/tests/reading; again=$(CURDIR)/target/control-plane/reading; \
	rm -rf $$again; mkdir -p $$again; cp recorded.jsonl mutants.jsonl $$again; \
	(cd record && go run . $$again/recorded.jsonl $$again/mutants.jsonl); \
	for table in recorded.jsonl mutants.jsonl; do diff $$table $$again/$$table; done
	@cd policies/resources/tests/record && go run . | diff ../quantities.tsv -
	@PATH=$(CURDIR)/target/control-plane:$$PATH cargo test --locked --quiet --release -p podfence-scan --test reading a_kubectl

soak: modules ## Compare a million requests for each policy with its opinion (half an hour)
	@for seed in $$(seq 0 10000 990000); do \
		echo "seed     $$seed"; \
		PODFENCE_SEED=$$seed cargo test --quiet $(RELEASE) $(PUBLISH) $(HARNESS) --test second_opinion || exit; \
	done

package: modules publish-tools ## Write the metadata into the modules: target/packages/<policy>.wasm, as in packages.lock
	$(PUBLISHER) package $(MODULES) --lock packages.lock --locked

publish: is-registry-set package opa ## Publish the packages and the bundle for OPA with their SBOMs: REGISTRY=registry.example.com/podfence; KEY=cosign.key signs
	$(PUBLISHER) sbom $(PACKAGES) $(OPA_BUNDLE)
	$(PUBLISHER) push $(PACKAGES) --sbom --registry '$(REGISTRY)' > target/published
	$(PUBLISHER) push $(OPA_BUNDLE) --sbom --registry '$(REGISTRY)' > target/published-bundle
	@cat target/published target/published-bundle
	$(if $(KEY),$(PUBLISHER) sign --key '$(KEY)' --sbom target/packages $$(cat target/published))
	$(if $(KEY),$(PUBLISHER) sign --key '$(KEY)' --sbom $(dir $(OPA_BUNDLE)) $$(cat target/published-bundle))

# By digest where `make publish` has just published.
deploy: is-registry-set $(PODFENCE) ## Write deploy/ for another registry: target/deploy, REGISTRY=registry.example.com/podfence, OPTIONS='--warnings'
	@rm -rf target/deploy
	@if grep -qs '^$(REGISTRY)/[^/]*@' target/published; then modules='--published target/published'; else modules="--registry $(REGISTRY)"; fi; \
	$(PODFENCE) deploy $$modules $(OPTIONS) --out target/deploy

# Before the work, not after it.
is-registry-set:
	@test -n '$(REGISTRY)' || { echo 'set REGISTRY, e.g. make $(MAKECMDGOALS) REGISTRY=registry.example.com/podfence' >&2; exit 2; }

# Those for OPA are built by the same compiler with the same paths: one stands for all.
reproducible: package target/opa/built/capabilities.wasm ## Check that another directory and another cargo home give the same modules and packages
	set -e; elsewhere=$$(mktemp -d); trap "rm -rf $$elsewhere" EXIT; \
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t $$elsewhere; \
	CARGO_HOME=$$elsewhere/cargo-home $(MAKE) --no-print-directory -C $$elsewhere modules target/opa/built/capabilities.wasm; \
	$(PUBLISHER) package $(MODULES:%=$$elsewhere/%) --policies $$elsewhere/policies --out $$elsewhere/target/packages; \
	sha256sum $(MODULES) $(PACKAGES) target/opa/built/capabilities.wasm > $$elsewhere/published.sha256; \
	cd $$elsewhere && sha256sum --check published.sha256

bench: modules $(PODFENCE) ## Measure the modules and refresh the table in the README
	$(PODFENCE) bench $(MODULES) --figures README.md

# Not --locked: a new policy is new in Cargo.lock as well. A step that fails does not keep the next ones from writing;
# the status is that of all of them. What is embedded is generated first, and what depends on it then.
bless: ## Refresh what is generated, and record what the modules cost and what is published
	@cargo metadata --quiet --format-version 1 > /dev/null
	@status=0; step() { echo "$$*"; env BLESS=1 "$$@" || status=1; }; \
	step cargo test --quiet --no-fail-fast; \
	step $(MAKE) --no-print-directory modules publish-tools opa; \
	step cargo test --quiet --no-fail-fast $(RELEASE) $(PUBLISH) $(HARNESS) --test gates --test conformance --test deploy --test chart --test migrate --test scan; \
	step $(PUBLISHER) package $(MODULES) --lock packages.lock; \
	exit $$status

new-policy: ## Make the files of a new policy, to be changed: NAME=open-stdin
	@cargo run --quiet -p podfence-docs --bin new-policy -- '$(NAME)'

lint: toolchain ## Check format, lints and docs
	cargo fmt --all --check
	cargo clippy --quiet $(RELEASE) $(PUBLISH) --workspace --all-targets -- -D warnings
	cargo clippy --quiet $(RELEASE) $(HARNESS) --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --quiet $(RELEASE) $(PUBLISH) --workspace --no-deps

messages: ## Print every text that users read of the command and the modules, to be read in one list
	@cargo test --quiet --locked -p podfence-docs --test words messages -- --ignored --nocapture | grep '\.rs:'

# Directory, target and limit of a text. A visible skip: what needs cargo-fuzz is not needed to work on the policies.
FUZZ_TARGETS := policies/core:parser:512 policies/core:rego:512 host-test/scan:reader:4096 host-test/publish:answers:4096 host-test/publish:signatures:16384
FUZZ_SECONDS ?= 60

fuzz: ## Fuzz the parser, the reader of manifests, and what reads registries: a minute each
	@cargo fuzz --version > /dev/null 2>&1 \
		|| { echo 'fuzz: skipped, for there is no cargo-fuzz; cargo install --locked cargo-fuzz@0.13.2 brings it'; exit 0; }; \
	status=0; for target in $(FUZZ_TARGETS); do \
		set -- $$(echo "$$target" | tr : ' '); directory=$$1; name=$$2; length=$$3; \
		seeds=; test ! -d "$$directory/tests/$$name" || seeds="tests/$$name"; \
		echo "fuzz     $$directory $$name"; \
		mkdir -p "$$directory/fuzz/corpus/$$name"; \
		(cd "$$directory" && cargo fuzz run "$$name" --sanitizer none "fuzz/corpus/$$name" $$seeds -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len="$$length" -print_final_stats=1) || status=1; \
	done; exit $$status

deny: target/tools/bin/cargo-deny ## Check licences, sources and duplicate versions of dependencies
	target/tools/bin/cargo-deny --locked check bans licenses sources

target/tools/bin/cargo-deny:
	cargo install --quiet --locked --root target/tools cargo-deny@0.20.2

# The page and the npm package, apart from the rest: they need npm's packages, and a tool that takes minutes to build.
# Cargo decides what is to be built again.
WEB := target/web
web: $(WEB)/bindings ## Build the page: target/web/page, to be served by anything that serves files
	@node web/build.mjs page $(WEB)/bindings $(WEB)/page

npm: $(WEB)/bindings ## Build the npm package: target/web/podfence-<version>.tgz
	@node web/build.mjs npm $(WEB)/bindings $(WEB)/npm
	@rm -f $(WEB)/*.tgz
	@cd $(WEB)/npm && npm pack --silent --pack-destination ..

# A visible skip: what needs a browser is not needed to work on the policies.
web-test: web npm modules $(PODFENCE) ## Test the page in a browser, and the npm package as it is installed
	@cd web && npx --no-install tsc -p . && npx --no-install tsc -p page/src
	@cargo run --quiet --locked --release -p podfence-web --example fixtures > $(WEB)/fixtures.jsonl
	@node --test web/test/*.test.mjs

# Where a function that is called once is merged into its caller, or an expression is kept in a local, the module has fewer
# bytes but compresses worse: 29 KB more go over the wire.
$(WEB)/bindings: toolchain web/node_modules $(WASM_OPT)
	@echo 'the page’s module (the first time, what writes its JavaScript takes two minutes)'
	@cargo build --quiet --locked --profile web --target wasm32-unknown-unknown -p podfence-web --config '$(REMAP)'
	@cargo run --quiet --locked --release --manifest-path web/bindgen/Cargo.toml --target-dir target/bindgen \
		target/wasm32-unknown-unknown/web/podfence_web.wasm $@
	@$(WASM_OPT) $(FEATURES) --enable-reference-types --enable-multivalue --strip-debug --strip-producers \
		-Oz --converge --one-caller-inline-max-function-size=12 --skip-pass=local-cse $@/podfence_bg.wasm -o $@/podfence_bg.wasm

web/node_modules: web/package.json web/package-lock.json
	@echo 'npm packages of the page'
	@cd web && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

clean: ## Remove what was built
	cargo clean

# Where it cannot be had, the tests that need a registry say that they skipped.
registry:
	@command -v docker-registry > /dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null \
		|| { echo 'docker-registry'; { apt-get update && apt-get install --yes docker-registry; } > /dev/null 2>&1; } \
		|| echo 'docker-registry cannot be installed'

toolchain:
	@rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown \
		|| rustup target add wasm32-unknown-unknown || rustup toolchain install

$(WASM_OPT): host-test/binaryen/package.json host-test/binaryen/package-lock.json
	@echo 'wasm-opt'
	@mkdir -p target/binaryen
	@cp $^ target/binaryen
	@cd target/binaryen && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: help all install dist archive image install-test new-policy modules $(PODFENCE) standalone publish-tools test opa opa-test \
	web npm web-test $(WEB)/bindings cluster-test helm control-plane reader-truth soak package publish is-registry-set deploy reproducible \
	bench bless lint messages fuzz deny clean registry toolchain
