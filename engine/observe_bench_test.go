package engine_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// BenchmarkObserve is how long it takes from a Proclaim, or a resignation, to the observer in another engine, on three servers.
// The changes are 30 to 50 ms apart.
func BenchmarkObserve(b *testing.B) {
	servers := redistest.StartN(b, 3)
	e, other := open(b, servers, engine.Config{}), open(b, servers, engine.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	news, over := make(chan time.Time, 1), make(chan struct{})
	wanted := make(chan func(engine.Leadership) bool, 1)
	go func() {
		defer close(over)
		var is func(engine.Leadership) bool
		for now := range other.Observe(ctx, "r") {
			select {
			case is = <-wanted:
			default:
			}
			if is != nil && is(now) {
				is = nil
				news <- time.Now()
			}
		}
	}()
	defer func() { cancel(); <-over }()
	var took, resigned []time.Duration
	measure := func(all *[]time.Duration, is func(engine.Leadership) bool, do func() error) {
		time.Sleep(30*time.Millisecond + time.Duration(len(took)%20)*time.Millisecond)
		wanted <- is
		begun := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		*all = append(*all, (<-news).Sub(begun))
	}
	leader, n := (*engine.Leader)(nil), 0
	for b.Loop() {
		if n++; leader == nil {
			measure(&took, func(l engine.Leadership) bool { return l.Held }, func() (err error) {
				leader, err = e.Campaign(ctx, "r", "0")
				return err
			})
		}
		value := fmt.Sprint(n)
		measure(&took, func(l engine.Leadership) bool { return l.Value == value }, func() error { return leader.Proclaim(ctx, value) })
		if n%4 == 0 {
			measure(&resigned, func(l engine.Leadership) bool { return !l.Held }, func() error { return leader.Release(ctx) })
			leader = nil
		}
	}
	for name, all := range map[string][]time.Duration{"told": took, "resigned": resigned} {
		if slices.Sort(all); len(all) > 0 {
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-µs")
		}
	}
}
