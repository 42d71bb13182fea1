package main

import (
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
