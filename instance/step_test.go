package instance

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

func TestStepIsWhatNeitherDelaysNorRatesExplain(t *testing.T) {
	begin := clock.Now()
	at := func(sent, got, server time.Duration) clockSample {
		return clockSample{runID: "a", server: time.Hour + server, sent: begin.Time.Add(sent), got: begin.Add(got)}
	}
	before := at(0, 100*time.Millisecond, 50*time.Millisecond)
	slept := at(10*time.Second, 10*time.Second, time.Hour)
	slept.got.Slept += time.Second
	other, unknown := at(10*time.Second, 10*time.Second, time.Hour), at(10*time.Second, 10*time.Second, time.Hour)
	other.runID, unknown.runID = "b", ""
	for name, c := range map[string]struct {
		now  clockSample
		want time.Duration
	}{
		"none":                       {at(10*time.Second, 10*time.Second, 10*time.Second), 0},
		"the answer was late":        {at(10*time.Second, 19*time.Second, 10*time.Second), 0},
		"the question was late":      {at(10*time.Second, 19*time.Second, 19*time.Second), 0},
		"it runs 1% faster":          {at(10*time.Second, 10*time.Second, 10100*time.Millisecond), 0},
		"it runs 1% slower":          {at(10*time.Second, 10*time.Second, 9900*time.Millisecond), 0},
		"forward":                    {at(10*time.Second, 10*time.Second, 30*time.Second), 19950 * time.Millisecond},
		"forward, the answer late":   {at(10*time.Second, 15*time.Second, 30*time.Second), 14950 * time.Millisecond},
		"back":                       {at(10*time.Second, 10*time.Second, -50*time.Second), -59950 * time.Millisecond},
		"back, to where it was":      {at(10*time.Second, 10*time.Second, 50*time.Millisecond), -9900 * time.Millisecond},
		"we slept, and know nothing": {slept, 0},
		"another process":            {other, 0},
		"a process without a name":   {unknown, 0},
	} {
		if got := stepBetween(before, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := stepBetween(clockSample{}, at(0, 0, 0)); got != 0 {
		t.Errorf("the first sample shows a step of %v", got)
	}
}

func TestStepConcernsTheLocksWhoseLifeWasGivenBefore(t *testing.T) {
	now := time.Now()
	const ttl = 30 * time.Second
	item := func(age, left time.Duration) *Renewal {
		return &Renewal{TTL: ttl, Since: now.Add(-age), Until: now.Add(left)}
	}
	forward, back := step{by: 20 * time.Second, at: now.Add(-time.Second)}, step{by: -time.Minute, at: now.Add(-time.Second)}
	for name, c := range map[string]struct {
		step step
		item *Renewal
		left time.Duration
		want bool
	}{
		"forward, given before":        {forward, item(10*time.Second, 19*time.Second), 0, true},
		"forward, a little less":       {forward, item(10*time.Second, 19*time.Second), 18 * time.Second, true},
		"forward, as much as it had":   {forward, item(10*time.Second, 19*time.Second), 20 * time.Second, false},
		"forward, confirmed since":     {forward, item(0, 29*time.Second), 0, false},
		"back, given before":           {back, item(10*time.Second, 19*time.Second), 80 * time.Second, true},
		"back, as much as it had":      {back, item(10*time.Second, 19*time.Second), 20 * time.Second, false},
		"back, extended":               {back, item(0, 58*time.Second), time.Minute, false},
		"no step":                      {step{}, item(10*time.Second, 19*time.Second), 0, false},
		"nothing to hold it against":   {forward, &Renewal{TTL: ttl}, 0, false},
		"back, and confirmed since":    {back, item(0, 29*time.Second), 80 * time.Second, false},
		"forward, noticed by this one": {step{by: forward.by, at: now}, item(10*time.Second, 19*time.Second), 0, true},
	} {
		if got := c.step.concerns(c.item, c.left, now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
