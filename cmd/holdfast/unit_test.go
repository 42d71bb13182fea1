package main

import (
	"runtime/debug"
	"strings"
	"testing"
	"time"
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

func TestOneLine(t *testing.T) {
	if got := oneLine("a\nb\r\nc\x1b[31md\x00"); got != "a; b; c; [31md" {
		t.Errorf("%q", got)
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
		t.Error(got)
	}
	if got := strings.Count(bar(time.Second, 2*time.Second, 4), "#"); got != 2 {
		t.Error(got)
	}
}
