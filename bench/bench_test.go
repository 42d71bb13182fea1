package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if isChild() {
		os.Exit(beChild(os.Stdin, os.Stdout))
	}
	// Children that are under the race detector, as this process may be, would sleep for a second before they end.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	redis.SetLogger(silent{})
	goleak.VerifyTestMain(m)
}

// tiny is enough to see that everything works, and says nothing about speed.
var tiny = plan{
	rounds:    1,
	warmup:    10 * time.Millisecond,
	patience:  2 * time.Second,
	window:    30 * time.Millisecond,
	instances: []int{1, 3},
	callers:   []int{8},
	latency:   30 * time.Millisecond,
	turns:     1,
	trips:     []time.Duration{2 * time.Millisecond},
	delayed:   60 * time.Millisecond,
	healthy:   100 * time.Millisecond,
	stopped:   100 * time.Millisecond,
	allocs:    30 * time.Millisecond,
	contended: 100 * time.Millisecond,
	handover:  50 * time.Millisecond,
	processes: 100 * time.Millisecond,
	crowds:    []int{2, 3},
	crowding:  100 * time.Millisecond,
	idlers:    10,
	fleet:     10,
	returning: 5 * time.Second,
	idling:    100 * time.Millisecond,
	held:      holding{500, 2 * time.Second, 100 * time.Millisecond},
	most:      holding{1000, 2 * time.Second, 100 * time.Millisecond},
	lost:      loss{50, 600 * time.Millisecond, 400 * time.Millisecond, 5, 50 * time.Millisecond},
}

const missing = "redis-server is not in PATH: run `make redis` in the directory above"

// needRedis fails the test where there is no redis-server: of tests that are skipped, go test says "ok".
func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal(missing)
	}
}

// ownTemp gives the test a directory for all temporary files, and checks that it is empty in the end.
func ownTemp(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-") // not t.TempDir: its path is too long for a socket
	if err != nil {
		t.Fatalf("os.MkdirTemp: %v", err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		os.RemoveAll(dir)
	})
}

func TestEveryScenarioRunsOnRealServers(t *testing.T) {
	needRedis(t)
	for _, s := range scenarios {
		if s.name == mixed.name { // TestAMixedFleetServesEverybody: its version before takes long to build
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			ownTemp(t)
			b := &bench{plan: tiny, progress: t.Output(), began: time.Now()}
			r, err := b.run(t.Context(), s)
			if err != nil {
				t.Fatalf("b.run: %v", err)
			}
			r.print(t.Output(), false)
			r.print(t.Output(), true)
			checkRecords(t, r)
		})
	}
}

// checkRecords checks that everybody was measured, and that Holdfast did its work.
func checkRecords(t *testing.T, r *report) {
	t.Helper()
	seen := make(map[string]bool)
	for _, rec := range r.Records {
		seen[rec.Peer] = true
		if len(rec.Rounds) != tiny.rounds {
			t.Errorf("%s: %d rounds, want %d", rec.Peer, len(rec.Rounds), tiny.rounds)
		}
		if rec.Peer != holdfast.name {
			continue
		}
		for _, c := range r.columns {
			checkValue(t, rec, c.key)
		}
	}
	if !seen[holdfast.name] || len(seen) == 1 && r.Name != held.name {
		t.Errorf("only %v were measured", seen)
	}
}

// checkValue checks that Holdfast has a value in every column: none for what must not happen, and some for the rest.
func checkValue(t *testing.T, rec *record, key string) {
	t.Helper()
	v, ok := rec.Median[key]
	switch {
	case key == "errors" || key == "overlaps" || key == "lost" || key == "unbacked":
		if !ok || v != 0 {
			t.Errorf("holdfast, %v: %s is %v, want 0", rec.cell(), key, v)
		}
	case strings.HasPrefix(key, "to "), strings.HasPrefix(key, "p50 to "), strings.HasPrefix(key, "p99 to "):
		// A ratio to a peer that may not have taken part, or got nothing in so short a time.
	case key == "server" || key == "least" || key == "cpu" || key == "heap each" || key == "there" || key == "there more" || key == "at most" || key == "sent":
		// Nothing is sure in so short a time.
	case !ok || math.IsNaN(v) || math.IsInf(v, 0) || v <= 0:
		t.Errorf("holdfast, %v: %s is %v, want more than 0", rec.cell(), key, v)
	}
}

func TestAPeerWithoutItsServerIsLeftOutAndNamed(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	nobodyHasIt := etcdPeer
	nobodyHasIt.on = &program{name: "no-such-server", by: "make nothing"}
	b := &bench{plan: tiny, progress: t.Output(), began: time.Now()}
	r, err := b.run(t.Context(), scenario{
		name: "absent",
		run: func(ctx context.Context, b *bench, r *report) error {
			_, err := b.cell(ctx, r, cell{1, 1, ""}, []peer{holdfast, nobodyHasIt}, here(
				func(context.Context, *fleet, locker) (values, error) { return values{}, nil }))
			return err
		},
	})
	if err != nil {
		t.Fatalf("b.run: %v", err)
	}
	if len(r.Records) != 1 || r.Records[0].Peer != holdfast.name {
		t.Errorf("measured %d peers, want Holdfast alone", len(r.Records))
	}
	if want := "etcd is left out: there is no no-such-server in PATH (make nothing)."; !slices.Contains(r.Notes, want) {
		t.Errorf("the notes are %q, want %q among them", r.Notes, want)
	}
}

func TestUnixSockets(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	b := &bench{plan: tiny, progress: io.Discard, began: time.Now()}
	b.unix, b.instances, b.callers = true, []int{1}, []int{2}
	r, err := b.run(t.Context(), distinct)
	if err != nil {
		t.Fatalf("b.run: %v", err)
	}
	for _, rec := range r.Records {
		if rec.Median["rate"] <= 0 && rec.Peer != etcdPeer.name { // which is not on one
			t.Errorf("%s: nothing was locked", rec.Peer)
		}
	}
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	needRedis(t)
	ownTemp(t) // checks, and goleak sees the goroutine that a server alive would have
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	b := &bench{plan: full, progress: io.Discard, began: time.Now()}
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	_, err := b.run(ctx, stopped)
	if !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-instances", "0"},
		{"-callers", "1,many"},
		{"-run", "("},
		{"-peers", "("},
		{"-window", "2"},
		{"-from", "out.json", "-json", "out.json"},
		{"distinct"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
