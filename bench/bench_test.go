package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	goleak.VerifyTestMain(m)
}

// tiny is enough to see that everything works, and says nothing about speed.
var tiny = plan{
	rounds:    2,
	warmup:    10 * time.Millisecond,
	window:    30 * time.Millisecond,
	instances: []int{1, 3},
	callers:   []int{1, 8},
	latency:   30 * time.Millisecond,
	healthy:   100 * time.Millisecond,
	stopped:   100 * time.Millisecond,
	allocs:    30 * time.Millisecond,
	contended: 200 * time.Millisecond,
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
		t.Fatal(err)
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
		t.Run(s.name, func(t *testing.T) {
			ownTemp(t)
			b := &bench{plan: tiny, progress: t.Output(), began: time.Now()}
			r, err := s.run(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			r.Name, r.Title = s.name, s.title
			r.print(t.Output(), false)
			r.print(t.Output(), true)
			checkRecords(t, r)
		})
	}
}

// checkRecords checks that everybody was measured, and that Holdfast did its work.
func checkRecords(t *testing.T, r *report) {
	t.Helper()
	peers := make(map[string]bool)
	for _, rec := range r.Records {
		peers[rec.Peer] = true
		if len(rec.Rounds) != tiny.rounds {
			t.Errorf("%s: %d rounds, want %d", rec.Peer, len(rec.Rounds), tiny.rounds)
		}
		if rec.Peer != holdfast.name {
			continue
		}
		for _, c := range r.Columns {
			v, ok := rec.Median[c.key]
			switch mayBeZero := c.key == "errors" || c.key == "overlaps"; {
			case !ok && strings.HasPrefix(c.key, "to "): // a ratio to nothing, in so short a time
			case !ok || math.IsNaN(v) || math.IsInf(v, 0):
				t.Errorf("holdfast, %d instances, %d callers: no %s", rec.Instances, rec.Callers, c.key)
			case mayBeZero && v != 0, !mayBeZero && v <= 0:
				t.Errorf("holdfast, %d instances, %d callers: %s is %v", rec.Instances, rec.Callers, c.key, v)
			}
		}
	}
	if !peers[holdfast.name] || !peers[redsyncDefault.name] {
		t.Errorf("only %v were measured", peers)
	}
}

func TestUnixSockets(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	b := &bench{plan: tiny, progress: io.Discard, began: time.Now()}
	b.unix, b.instances, b.callers, b.rounds = true, []int{1}, []int{2}, 1
	r, err := distinct.run(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range r.Records {
		if rec.Median["rate"] <= 0 {
			t.Errorf("%s: nothing was locked", rec.Peer)
		}
	}
}

func TestCommandPrintsTablesAndWritesJSON(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	out := filepath.Join(t.TempDir(), "out.json")
	args := []string{"-quick", "-rounds", "1", "-run", "distinct", "-peers", "^holdfast", "-instances", "1", "-callers", "2", "-window", "20ms", "-markdown", "-json", out}
	var stdout bytes.Buffer
	if err := run(t.Context(), args, &stdout, t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| holdfast |", "|:----", "again: cd bench && go run . -quick -rounds 1 -run distinct -peers '^holdfast'"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing from:\n%s", want, &stdout)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		Scenarios []struct {
			Records []struct {
				Peer   string
				Median map[string]float64
			}
		}
	}
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	if rec := written.Scenarios[0].Records[0]; rec.Peer != "holdfast" || rec.Median["rate"] <= 0 {
		t.Errorf("wrote %+v", rec)
	}
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	needRedis(t)
	ownTemp(t) // checks, and goleak sees the goroutine that a server alive would have
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	b := &bench{plan: full, progress: io.Discard, began: time.Now()}
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	_, err := stopped.run(ctx, b)
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
		{"distinct"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"},
		{count(0.25), "0.2"},
		{count(999), "999"},
		{count(1234567.8), "1,234,568"},
		{ratio(0.5), "0.50×"},
		{ratio(12.34), "12.3×"},
		{duration(0.000123456), "123 µs"},
		{duration(0.0123456), "12.3 ms"},
		{duration(8), "8 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Second
	}
	for p, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := median([]float64{4, 1, 3}); got != 3 {
		t.Errorf("median is %v, want 3", got)
	}
	if got := median([]float64{4, 1}); got != 2.5 {
		t.Errorf("median is %v, want 2.5", got)
	}
}

func TestRepliesAreCountedAcrossReads(t *testing.T) {
	var c counter
	total := 0
	for _, part := range []string{"$-1\r\n:1", "\r", "\n$", "-1\r\n"} {
		n, err := c.count([]byte(part))
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != 3 {
		t.Errorf("counted %d replies, want 3", total)
	}
	for _, bad := range []string{"$26\r\n", ":0\r\n", "-ERR\r\n"} {
		if _, err := new(counter).count([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	fast := &record{Peer: "fast", Rounds: []values{{"rate": 100}, {"rate": 10}, {"rate": 60}}}
	slow := &record{Peer: "slow", Rounds: []values{{"rate": 50}, {"rate": 5}, {"rate": 10}}}
	compare([]*record{fast, slow}, "rate", "slow", "ratio")
	if got := fast.Median["ratio"]; got != 2 {
		t.Errorf("ratio is %v, want 2", got)
	}
	if got := slow.Median["ratio"]; got != 1 {
		t.Errorf("ratio to itself is %v, want 1", got)
	}
}
