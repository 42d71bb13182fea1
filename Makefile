# `make test` is what CI runs, and all it runs. `make help` lists the targets.

TIMEOUT ?= 20m
PKG     ?= ./...

# Modules below this one, each tested on its own. tools/ has no Go code.
NESTED = $(sort $(dir $(shell find . -mindepth 2 -name go.mod -not -path './tools/*' -not -path '*/testdata/*')))

TOOL        = go tool -modfile=tools/go.mod
STATICCHECK = $(TOOL) staticcheck
GOFUMPT     = $(TOOL) gofumpt

# Nothing here may edit a go.mod, be swayed by a workspace further up, or fail because the checkout belongs to another
# user (that is what VCS stamping does). A test that hangs shows all its goroutines. The modules below have a workspace
# each, which puts this tree's core in the place of the one that they require: docs/releasing.md.
export GOFLAGS      := $(strip $(shell go env GOFLAGS) -mod=readonly -buildvcs=false)
export GOWORK       := off
export GOTRACEBACK  := all

IN = cd $(1) && export GOWORK="$$PWD/go.work" &&

MAKEFLAGS += --no-print-directory

.PHONY: help test observability redis etcd vet staticcheck portable fmt fmt-check race model nested fuzz chaos mutants nightly race-stress tidy release-check bench-quick bench bench-held bench-chart

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One after the other, also under -j: the cheap checks first, and no two that want all cores. It says how long each took.
STEPS = redis vet staticcheck fmt-check race servers-short model seeds mutants nested
test: ## all that must pass: the checks below, then every test under the race detector, the models, and the mutants
	@set -e; all=$$(date +%s); times=; for step in $(STEPS); do \
		begun=$$(date +%s); $(MAKE) $$step; times="$$times $$step $$(($$(date +%s) - begun)) s,"; \
	done; echo "== all passed in $$(($$(date +%s) - all)) s:$${times%,}"

# The everyday command. It leaves out what takes long: -short says so in each test that it skips, and chaos and trial are
# the faults by schedule and by seed. It is not the gate: without the race detector, and with fewer tests.
# Two thirds of the time its tests wait, for servers and for leases to end: so three packages run at a time on two cores.
LONG = /internal/chaos$$|/internal/trial$$
.PHONY: check
check: redis ## the everyday check, in 90 s where all is compiled: vet, lint, the format, go test -short
	@$(MAKE) vet
	@$(MAKE) lint
	@$(MAKE) fmt-check
	@echo "== go test -short"
	@go list $(PKG) | grep -vE '$(LONG)' | xargs -r go test -short -vet=off -p 3 -timeout $(TIMEOUT)

# Two packages at a time. Chaos waits for its faults most of the time, and trial computes; the others wait for real servers,
# so that four tests of a package run side by side; the two that take longest begin. Surface only reads the code, on one
# thread: it is with the models.
# `make vet` has vetted all of it.
ALONE   = /internal/chaos$$|/internal/trial$$
LONGEST = holdfast/engine$$|holdfast/instance$$
READING = /internal/surface$$
race: redis
	@echo "== go test -race $(PKG) (on a fresh machine it compiles for some minutes first, without a word)"
	@go build -race $(PKG)
	@go list $(PKG) | grep -E '$(ALONE)' | xargs -r go test -race -vet=off -p 2 -timeout $(TIMEOUT)
	@{ go list $(PKG) | grep -E '$(LONGEST)'; go list $(PKG) | grep -vE '$(ALONE)|$(READING)|$(LONGEST)'; } | \
		xargs -r go test -race -vet=off -p 2 -parallel 4 -timeout $(TIMEOUT)

# One thread and arithmetic: the race detector would find nothing and take ten times as long, so that these tests are
# not built under it. Nor are those that count allocations, to which it adds its own.
model: redis ## check the models of the protocol exhaustively
	@echo "== models"
	@go test -run '^TestModel|^TestAllocations' -timeout $(TIMEOUT) ./engine
	@go list $(PKG) | grep -E '$(READING)' | xargs -r go test -vet=off -timeout $(TIMEOUT)

# Under the race detector a seed costs seven times as much: `make race` has the first 12 alone.
.PHONY: seeds
seeds: ## the first 110 seeds of the simulation, without the race detector
	@echo "== seeds"
	@go test -run 'TestSeeds$$' -timeout $(TIMEOUT) ./internal/trial -seeds 110

# `make race` runs it too, for less than a minute with a seed that never changes; this goes on for
# longer, with a fresh one, and shows what was injected and what was checked. SEED repeats a schedule.
CHAOS ?= 10m
chaos: redis ## real faults to real servers and processes, for CHAOS=10m
	@echo "== chaos for $(CHAOS)"
	@go test -race -count=1 -v -timeout 0 -run '^TestChaos$$' ./internal/chaos -chaos $(CHAOS) $(if $(SEED),-chaos.seed $(SEED))

# Not under the race detector: it is the checkers that are to find these. Six run at a time.
mutants: redis ## plant known bugs in the code, one at a time: the checkers must catch every one
	@echo "== mutants"
	@go test -run Caught -v -count=1 -parallel 6 -timeout $(TIMEOUT) ./internal/mutants -catch

NIGHT ?= 8h
nightly: fuzz ## new inputs, then simulated faults by fresh seeds, for hours: NIGHT=8h
	@echo "== fresh seeds for $(NIGHT)"
	@go test -race -run 'TestSeeds$$' -timeout 0 ./internal/trial -for $(NIGHT)

# The saved corpus is run by the tests; this looks for new inputs, a minute or two in all, and is no part of `make test`:
# what it finds is news, and no fault of the change that is tested. A number of inputs rather
# than a time: until Go 1.27 the end of the time may be taken for a failure (golang/go#75804).
FUZZ_DIAL     ?= 100000x
FUZZ_REPLY    ?= 250000x
FUZZ_COMMANDS ?= 50000x
FUZZ_KEYS     ?= 50000x
fuzz: ## look for new inputs that break parsing
	@echo "== fuzzing"
	@go test -run '^$$' -fuzz '^FuzzDial$$' -fuzztime $(FUZZ_DIAL) ./instance
	@go test -run '^$$' -fuzz '^FuzzReply$$' -fuzztime $(FUZZ_REPLY) ./internal/resp
	@go test -run '^$$' -fuzz '^FuzzCommands$$' -fuzztime $(FUZZ_COMMANDS) ./instance
	@go test -run '^$$' -fuzz '^FuzzKeys$$' -fuzztime $(FUZZ_KEYS) ./engine

# All of it under the race detector, the checks too: so their dependencies, which are large, are compiled but once. Some
# tests read what is outside of their module, which go test does not see change when it has a result in its cache.
nested: redis etcd
	@set -e; staticcheck=$$($(TOOL) -n staticcheck); export GOFLAGS="$(GOFLAGS) -race"; for dir in $(NESTED); do \
		echo "== nested module $$dir"; \
		( $(call IN,$$dir) go vet ./... && $$staticcheck ./... && go test -count=1 -timeout $(TIMEOUT) ./... ); \
	done

observability: redis ## the page in a real browser, metrics and alerts in a real Prometheus, fencing in a real PostgreSQL: installs them (apt-get only)
	@command -v chromium >/dev/null || $(MAKE) install-chromium
	@command -v prometheus >/dev/null || $(MAKE) install-prometheus
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(MAKE) install-postgresql
	@go test -race -count=1 -v -run '^TestInABrowser$$' ./debughttp -chromium chromium
	@$(call IN,promholdfast) go test -race -count=1 -v -run 'Alerts|Prometheus|Loss' .
	@$(call IN,examples/fencedsql) go test -race -count=1 -v -run PostgreSQL .

redis: ## install redis-server if there is none (apt-get only)
	@command -v redis-server >/dev/null || $(MAKE) install-redis

servers: redis ## the tests that use real servers, on redis 7.0, 8.0 and 8.6, valkey 8.1 and 9.1, and a mixed quorum: fetches them (apt-get only)
	@tools/servers.sh all

.PHONY: servers servers-short
servers-short: ## the promises and the waiting on valkey 9.1: fetches it (apt-get only)
	@tools/servers.sh short

etcd: ## install etcd if there is none, for bench/ (apt-get only); it does without where that fails
	@command -v etcd >/dev/null || $(MAKE) install-etcd || echo "no etcd: bench/ leaves it out" >&2

# Debian's packages start services on their usual ports. The tests need only the programs, so a policy-rc.d forbids the
# start, for the time of the installation and unless the machine has a policy of its own. On a machine that boots with
# systemd the service is still enabled for the next boot: `systemctl disable redis-server etcd prometheus`.
INSTALL = install-redis install-etcd install-chromium install-prometheus install-postgresql install-patchelf
.PHONY: $(INSTALL)
install-redis:      PACKAGE = redis-server
install-etcd:       PACKAGE = etcd-server
install-chromium:   PACKAGE = chromium
install-prometheus: PACKAGE = prometheus
install-postgresql: PACKAGE = postgresql
install-patchelf:   PACKAGE = patchelf
$(INSTALL):
	@echo "== installing $(PACKAGE)"
	@command -v apt-get >/dev/null || { echo "no apt-get here: install $(PACKAGE) by your own means (redis-server: 7.0 or later)" >&2; exit 1; }
	@set -e; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap "$$sudo rm -f $$policy" EXIT; \
		printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null; \
		$$sudo chmod 755 $$policy; \
	fi; \
	$$sudo apt-get -qq update; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(PACKAGE) >/dev/null

vet: ## go vet
	@echo "== go vet $(PKG)"
	@go vet $(PKG)

staticcheck: ## staticcheck, pinned in tools/go.mod: staticcheck.conf says which checks, and why
	@echo "== staticcheck $(PKG)"
	@$(STATICCHECK) $(PKG)

# Beside vet and staticcheck, pinned in tools/go.mod too, an analyzer of golang.org/x/tools that finds what those do not:
# nilness follows a nil through branches to where it is used.
ANALYZERS = nilness
.PHONY: lint
lint: staticcheck ## staticcheck and the single analyzers
	@set -e; for analyzer in $(ANALYZERS); do echo "== $$analyzer $(PKG)"; \
		tool=$$($(TOOL) -n $$analyzer); go vet -vettool="$$tool" $(PKG); done

# What a system lacks shows when it is compiled, tests included. The unit tests of what counts bits run as a 32-bit program.
SYSTEMS = windows/amd64 darwin/arm64 freebsd/amd64 linux/arm
portable: ## go vet for other systems, and the tests of counters, clocks and the protocol as a 32-bit program
	@set -e; for system in $(SYSTEMS); do echo "== go vet for $$system"; \
		GOOS=$${system%/*} GOARCH=$${system#*/} go vet $(PKG); done
	@echo "== go test for linux/386"
	@GOOS=linux GOARCH=386 go test -timeout $(TIMEOUT) ./lease ./keeper ./internal/clock ./internal/restart ./internal/sim ./internal/tell ./internal/resp ./instance ./engine

fmt: ## rewrite all files as gofumpt has them
	@$(GOFUMPT) -l -w .

fmt-check: ## fail if gofumpt would rewrite a file, and name it
	@echo "== gofumpt"
	@files=$$($(GOFUMPT) -l .) || exit 1; \
	[ -z "$$files" ] || { echo "not formatted, run make fmt:"; echo "$$files"; exit 1; } >&2

# A workspace has no say in go mod tidy, which would ask the proxies for a core that they may not have yet.
CORE = github.com/holdfast-go/holdfast
tidy: ## go mod tidy in every module
	@go mod tidy
	@set -e; for dir in $(NESTED); do ( cd $$dir; trap 'go mod edit -dropreplace=$(CORE)' EXIT; \
		go mod edit -replace="$(CORE)=$(CURDIR)"; go mod tidy ); done

# The second half is in a clone: what is tagged is what is committed.
release-check: redis ## what must be true before VERSION=v0.1.0 is tagged: docs/releasing.md
	@$(call IN,internal/release) go run . $(VERSION)
	@set -e; clone=$$(mktemp -d); trap 'rm -rf $$clone' EXIT; git clone -q . $$clone; \
		$(call IN,$$clone/internal/release) go test -count=1 .
	@echo "ready: tag and push $(VERSION), then promholdfast/$(VERSION) and otelholdfast/$(VERSION), as docs/releasing.md says"

race-stress: redis ## every test 5 times on 1, 2 and 4 threads, under the race detector
	@echo "== go test -race -count=5 -cpu 1,2,4 $(PKG)"
	@go test -race -count=5 -cpu 1,2,4 -timeout 60m $(PKG)

bench-quick: redis etcd ## the side-by-side benchmark, in a minute
	@$(call IN,bench) go run . -quick

bench: redis etcd ## the side-by-side benchmark, in full: less than ten minutes
	@$(call IN,bench) go run .

bench-held: redis ## 100,000 leases held for five minutes, and 1,000,000 for two
	@$(call IN,bench) go run . -run held -held 5m -million 2m

bench-chart: redis etcd ## measure again what docs/bench.svg shows, and draw it
	@$(call IN,bench) go run . -run distinct -chart ../docs/bench.svg
