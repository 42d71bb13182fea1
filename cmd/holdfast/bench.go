package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

var benchRow = command{
	name:  "bench",
	short: "measure how fast your instances lock",
	make:  func() action { return new(benchAction) },
	long: `Each caller acquires and releases a lock of its own, again and again. The names begin
with the prefix, holdfast-bench and a random word. Nothing is left behind. It prints
the cycles a second, and how long each half of a cycle takes.

All callers share one engine in this process, as in a program of yours. It loads the
instances as much as they can bear: think before you use it where others work.

Exit codes: 0 when it has measured; 69 when too few instances answer; 130 for ^C, after
which it prints what it has measured; 64 for a wrong command line.`,
}

// The bounds of a measurement.
const (
	maxBench   = 10 * time.Minute
	maxCallers = 1024
)

// benchAction is `holdfast bench`.
type benchAction struct {
	servers
	length  span
	callers int
	json    bool
}

func (b *benchAction) flags(fs *flag.FlagSet) {
	b.servers.flags(fs)
	b.length = span(5 * time.Second)
	fs.Var(&b.length, "d", "measure for `TIME`, at most 10m")
	fs.IntVar(&b.callers, "c", 8, "the `NUMBER` of callers at the same time, at most 1024")
	fs.BoolVar(&b.json, "json", false, "write JSON")
}

func (b *benchAction) run(ctx context.Context, args arguments) error {
	switch {
	case len(args.all()) > 0:
		return usage("it takes no arguments: name the instances with --redis or in %s", environment)
	case time.Duration(b.length) > maxBench:
		return usage("-d is %v: it must be at most %v", &b.length, maxBench)
	case b.callers < 1 || b.callers > maxCallers:
		return usage("-c is %d: it must be from 1 to %d", b.callers, maxCallers)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	cfg := b.config()
	cfg.Guard = instance.GuardOff // what it locks is nobody else's
	locks, err := b.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }()
	if err := b.print(b.measure(ctx, locks), len(locks.Instances())); err != nil {
		return err
	}
	return interrupted(ctx)
}

// measured is what all callers have seen.
type measured struct {
	took             time.Duration
	acquire, release histogram
	failed           int
	failure          error // one of them
}

// measure runs the callers until the time is over, or ctx ends.
func (b *benchAction) measure(ctx context.Context, locks *engine.Engine) measured {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.length))
	defer cancel()
	var cycles atomic.Int64
	start := time.Now()
	seen := make([]measured, b.callers)
	name := "holdfast-bench:" + rand.Text()[:8] + ":"
	var callers, bar sync.WaitGroup
	for n := range seen {
		callers.Go(func() { seen[n].cycle(ctx, locks, fmt.Sprint(name, n), &cycles) })
	}
	bar.Go(func() { progress(ctx, time.Duration(b.length), &cycles) })
	callers.Wait()
	sum := measured{took: time.Since(start)}
	bar.Wait()
	for n := range seen {
		sum.acquire.add(&seen[n].acquire)
		sum.release.add(&seen[n].release)
		sum.failed += seen[n].failed
		if seen[n].failure != nil {
			sum.failure = seen[n].failure
		}
	}
	return sum
}

// failurePause keeps a caller from asking again at once the instances that have just refused.
const failurePause = 10 * time.Millisecond

// cycle is one caller. What it has begun it ends, also when the time is over.
func (m *measured) cycle(ctx context.Context, locks *engine.Engine, resource string, cycles *atomic.Int64) {
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		start := time.Now()
		l, err := locks.TryAcquire(whole, resource)
		acquired := time.Now()
		if err == nil {
			err = l.Release(whole)
		}
		if err != nil {
			m.failed++
			m.failure = err
			time.Sleep(failurePause)
			continue
		}
		m.acquire.record(acquired.Sub(start))
		m.release.record(time.Since(acquired))
		cycles.Add(1)
	}
}

// progressEvery is how often the bar moves.
const progressEvery = 100 * time.Millisecond

// progress draws a bar on a terminal until ctx ends, and takes it away then.
func progress(ctx context.Context, length time.Duration, cycles *atomic.Int64) {
	screen := newScreen(os.Stderr)
	if screen == nil {
		return
	}
	start := time.Now()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = screen.draw("")
			return
		case <-tick.C:
			gone := time.Since(start)
			rate := float64(cycles.Load()) / gone.Seconds()
			_ = screen.draw(fmt.Sprintf("%s %v of %v, %s cycles/s", bar(gone, length, 30), gone.Round(progressEvery), length, thousands(int(rate))))
		}
	}
}

func (b *benchAction) print(m measured, instances int) error {
	cycles := m.acquire.count
	rate := float64(cycles) / m.took.Seconds()
	if b.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"instances": instances, "callers": b.callers, "seconds": m.took.Seconds(),
			"cycles": cycles, "cycles_per_second": rate, "failed": m.failed,
			"acquire": m.acquire.summary(), "release": m.release.summary(),
		})
	}
	_, err := fmt.Printf("%d instances, %d callers, %v: %s cycles/s\nacquire  %v\nrelease  %v\n",
		instances, b.callers, m.took.Round(10*time.Millisecond), thousands(int(rate)), m.acquire.summary(), m.release.summary())
	if err == nil && m.failed > 0 {
		_, err = fmt.Printf("failed   %d, such as: %s\n", m.failed, oneLine(m.failure.Error()))
	}
	return err
}
