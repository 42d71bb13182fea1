package engine_test

import (
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// A first deployment is no reason to warn anybody, and no length of time is a number of
// nanoseconds.
func TestTheLogOfAFirstDeploymentHasNoWarning(t *testing.T) {
	servers := redistest.StartN(t, 3)
	log := new(testkit.Log)
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := open(t, servers, engine.Config{Logger: logger, Guard: instance.GuardAdaptive, Trace: engine.LogTrace(logger)})
	eventually(t, "all are up", func() bool { return strings.Count(log.String(), "instance is up") == len(servers) })
	l := acquire(t, e, "r")
	if err := l.Extend(within(t), time.Second); err != nil {
		t.Errorf("l.Extend: %v", err)
	}
	release(t, l)
	if text := log.String(); strings.Contains(text, "WARN") || strings.Count(text, "it does not vote on new acquires yet") != len(servers) {
		t.Errorf("the log of a first deployment:\n%s", text)
	}
	long := regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([mµn]?s|m|h)`)
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("json.Unmarshal: %v", err)
		}
		for _, name := range []string{"took", "waited", "held", "for", "margin", "quarantine", "left", "by"} {
			if span, there := fields[name].(string); fields[name] != nil && (!there || name != "by" && !long.MatchString(span)) {
				t.Errorf("%s is %v: %s", name, fields[name], line)
			}
		}
	}
}
