package main

import (
	"context"
	"flag"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

func TestSpan(t *testing.T) {
	for text, want := range map[string]string{"30": "30s", "1m": "1m", "90s": "1m30s", "1h": "1h", "250ms": "250ms", "1h0m1s": "1h0m1s"} {
		var s span
		if err := s.Set(text); err != nil || s.String() != want {
			t.Errorf("%s is %v, %v", text, &s, err)
		}
	}
	for _, text := range []string{"", "0", "-1s", "soon", "1e99s", "99999999999"} {
		if err := new(span).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// Each call is a new engine, which could not tell a restart of all servers from a first
// deployment: the user knows, and says so.
func TestServersThatWereRestartedAreNotTakenForNewOnes(t *testing.T) {
	t.Setenv(firstDeployment, "")
	for _, c := range []struct {
		args string
		want instance.Guard
	}{
		{"", instance.GuardStrict},
		{"--guard strict", instance.GuardStrict},
		{"--guard adaptive", instance.GuardAdaptive},
		{"--guard off --first-deployment", instance.GuardOff},
		{"--first-deployment", instance.GuardAdaptive},
		{"--first-deployment=false", instance.GuardStrict},
	} {
		var s servers
		if _, err := parse(newFlagSet("run", flagsOf(s.flags)), strings.Fields(c.args)); err != nil {
			t.Fatalf("parse: %v", err)
		}
		if got := s.config().Guard; got != c.want {
			t.Errorf("with %q the guard is %v, want %v", c.args, got, c.want)
		}
	}
}

// flagsOf is an action that only has flags.
type flagsOf func(*flag.FlagSet)

func (f flagsOf) flags(fs *flag.FlagSet)             { f(fs) }
func (flagsOf) run(context.Context, arguments) error { return nil }

// The note says when enough servers may vote, and nothing when that is not what is missing.
func TestNoteOnServersThatRestarted(t *testing.T) {
	up, down := instance.Health{State: instance.Up}, instance.Health{State: instance.Down}
	young := func(left time.Duration) instance.Health {
		return instance.Health{State: instance.Quarantined, Quarantine: left}
	}
	for _, c := range []struct {
		servers []instance.Health
		want    string
	}{
		{[]instance.Health{up, up, young(time.Minute)}, ""},
		{[]instance.Health{down, down, young(time.Minute)}, ""},
		{[]instance.Health{up, young(50 * time.Second), young(20 * time.Second)}, "2 of 3 instances .* before 12:00:20, in 20s "},
		{[]instance.Health{down, young(50 * time.Second), young(20 * time.Second)}, "2 of 3 instances .* before 12:00:50, in 50s "},
		{[]instance.Health{young(time.Minute)}, "1 of 1 instances .* before 12:01:00, in 1m0s "},
	} {
		var b strings.Builder
		noteQuarantine(&b, "run", c.servers, time.Date(2026, 1, 1, 12, 0, 0, 0, time.Local), false)
		if (b.Len() > 0) != (c.want != "") || !regexp.MustCompile(c.want).MatchString(b.String()) {
			t.Errorf("%+v: %q, want %q", c.servers, b.String(), c.want)
		}
	}
	var b strings.Builder // a user that has said it is not told to say it
	noteQuarantine(&b, "run", []instance.Health{down, young(time.Minute), young(time.Minute)}, time.Now(), true)
	if !strings.HasSuffix(b.String(), "(--first-deployment does not wait when all 3 answer and are new)\n") {
		t.Errorf("got %q, want it to end with what --first-deployment does", b.String())
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\nb\r\nc\x1b[31md\x00"); got != "a; b; c; [31md" {
		t.Errorf("oneLine: got %q, want it on one line, without control characters", got)
	}
}

// A version is what can be installed again by it; else the revision is said.
func TestVersionOf(t *testing.T) {
	const revision = "1e00c5512345aaaabbbbccccddddeeeeffff0000"
	for _, c := range []struct{ version, revision, modified, want string }{
		{"v0.1.0", "", "", "v0.1.0"}, // go install …@v0.1.0
		{"v0.1.1-0.20261127051600-1e00c5512345", "", "", "v0.1.1-0.20261127051600-1e00c5512345"}, // go install …@main
		{"v0.1.0", revision, "false", "v0.1.0"},                                                  // a clone of the tag
		{"v0.1.1-0.20261127051600-1e00c5512345", revision, "false", "devel, 1e00c5512345"},
		{"v0.1.1-0.20261127051600-1e00c5512345+dirty", revision, "true", "devel, 1e00c5512345 with changes"},
		{"v0.1.0+dirty", revision, "true", "devel, 1e00c5512345 with changes"},
		{"(devel)", revision, "false", "devel, 1e00c5512345"},
		{"(devel)", "", "", "devel"}, // -buildvcs=false
		{"", "", "", "devel"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.version}}
		if c.revision != "" {
			info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: c.revision}, {Key: "vcs.modified", Value: c.modified}}
		}
		if got := versionOf(info); got != c.want {
			t.Errorf("%+v is %q, want %q", c, got, c.want)
		}
	}
	if got := versionOf(nil); got != "devel" {
		t.Errorf("without any information it is %q", got)
	}
}

func TestHistogram(t *testing.T) {
	var h, other histogram
	for n := range 1000 {
		h.record(time.Duration(n+1) * time.Millisecond)
	}
	other.record(0)
	other.record(1 << 62)
	h.add(&other)
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 500 * time.Millisecond, 0.9: 900 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: 1 << 62} {
		if got := h.quantile(q); got < want || q < 1 && got > want+want/10+2*time.Microsecond {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if new(histogram).quantile(0.5) != 0 {
		t.Error("of nothing")
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
	if got := bar(3*time.Second, 2*time.Second, 4); got != "[####]" {
		t.Errorf("a bar of more than all: got %q, want %q", got, "[####]")
	}
	if got := strings.Count(bar(time.Second, 2*time.Second, 4), "#"); got != 2 {
		t.Errorf("a bar of a half: got %d of 4, want 2", got)
	}
}

// However low a terminal is, the newest event is on it: the verdict is the last.
func TestTheVerdictIsAlwaysSeen(t *testing.T) {
	w := &world{start: time.Now(), up: []bool{true, false, true}}
	for n := range 4 {
		w.workers = append(w.workers, &worker{world: w, name: strings.Repeat("x", n+1)})
	}
	for range 30 {
		w.say("something")
	}
	w.say("the end")
	v := &view{world: w}
	for rows := 1; rows < 40; rows++ {
		lines := strings.Split(strings.TrimSuffix(v.frame(rows), "\n"), "\n")
		if len(lines) > rows || !strings.HasSuffix(lines[len(lines)-1], "the end") {
			t.Errorf("in %d lines: %q", rows, lines)
		}
		if rows >= 19 && (!strings.Contains(lines[0], "holdfast demo") || len(lines) < min(rows, 23)) {
			t.Errorf("in %d lines: %q", rows, lines)
		}
	}
}

// That the time left goes by is no change; what the votes say, and who waits, is.
func TestAWatchShowsWhatHasChanged(t *testing.T) {
	look := func(token string, left time.Duration, waiting int, votes ...instance.Kind) []seen {
		s := engine.Status{Resource: "job", Held: token != "", Token: token, Remaining: left, Waiting: waiting}
		for _, kind := range votes {
			s.Votes = append(s.Votes, instance.Vote{Kind: kind, Holder: token})
		}
		return []seen{{Status: s}}
	}
	w := new(watcher)
	for n, step := range []struct {
		look []seen
		want int
	}{
		{look("ann~a", 9*time.Second, 0, instance.Held, instance.Held), 1},
		{look("ann~a", 8*time.Second, 0, instance.Held, instance.Held), 0},
		{look("ann~a", 8*time.Second, 1, instance.Held, instance.Held), 1},
		{look("ann~a", 7*time.Second, 1, instance.Held, instance.Unreachable), 1},
		{look("ann~b", 9*time.Second, 1, instance.Held, instance.Unreachable), 1},
		{look("ann~b", 5*time.Second, 1, instance.Held, instance.Unreachable), 0},
		{look("", 0, 0, instance.Free, instance.Free), 1},
		{look("", 0, 0, instance.Free, instance.Free), 0},
	} {
		if got := len(w.changed(step.look)); got != step.want {
			t.Errorf("look %d: %d changes, want %d", n, got, step.want)
		}
	}
}
