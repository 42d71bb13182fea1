package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
)

// held: what do leases cost that are only held?
var held = scenario{
	name:  "held",
	title: "very many leases, held by one engine, which renews them",
	columns: []column{
		{"ttl", "TTL", duration},
		{"hold", "held for", duration},
		{"rate", "acquired/s", count},
		{"cpu", "CPU of one core", percent},
		{"heap each", "heap a lease, B", count},
		{"heap", "heap", memory},
		{"memory", "from the system", memory},
		{"lost", "lost", count},
		{"unbacked", "without a quorum of keys", count},
	},
	run: runHeld,
}

func runHeld(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"One round. The CPU is this process's, user and system, while the leases are held and nothing else goes on; the heap has the",
		"resources' names in it. \"lost\" are leases that ended, \"without a quorum of keys\" those whose keys a majority did not",
		"have in the end. Longer: go run . -run held -held 5m -million 2m",
	}
	once := *b
	once.rounds = 1
	for _, part := range []struct {
		instances int
		holding
	}{{3, b.held}, {1, b.most}} {
		if part.leases == 0 {
			continue
		}
		under := count(float64(part.leases)) + " leases"
		place := cell{instances: part.instances, callers: acquirers, under: under}
		_, err := once.cell(ctx, r, place, []peer{holdfast}, func(ctx context.Context, f *fleet, _ peer) (values, error) {
			return once.hold(ctx, f, part.holding)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// acquirers are the callers who acquire the leases, together.
const acquirers = 512

// hold acquires the leases, holds them, and looks what has become of them.
func (b *bench) hold(ctx context.Context, f *fleet, h holding) (v values, err error) {
	e, err := engine.Open(ctx, f.urls(), engine.Config{TTL: h.ttl})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release(e)) }()
	before := heap()
	start := time.Now()
	if err := acquireMany(ctx, e, h.leases); err != nil {
		return nil, err
	}
	v = values{
		"ttl": h.ttl.Seconds(), "hold": h.hold.Seconds(),
		"rate": float64(h.leases) / time.Since(start).Seconds(),
	}
	after := heap()
	v["heap"] = float64(after.HeapAlloc)
	v["heap each"] = (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(h.leases)
	b.say("    acquired %s leases", count(float64(h.leases)))

	start, used := time.Now(), cpu()
	sleep(ctx, h.hold)
	v["cpu"] = (cpu() - used).Seconds() / time.Since(start).Seconds()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v["memory"] = float64(m.Sys - m.HeapReleased)

	unbacked, err := withoutQuorum(ctx, f, h.leases)
	v["unbacked"] = float64(unbacked)
	v["lost"] = float64(h.leases)
	for _, l := range e.Leases() {
		if l.Valid() {
			v["lost"]--
		}
	}
	return v, errors.Join(err, context.Cause(ctx))
}

// release closes the engine, which releases what it holds, in limited time. Close names each lease that it could not
// release; a few of very many will do.
func release(e *engine.Engine) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		return fmt.Errorf("%.300s …", err.Error())
	}
	return nil
}

func leaseName(i int) string { return fmt.Sprintf("order-%07d", i) }

// acquireMany acquires n leases. The engine keeps them.
func acquireMany(ctx context.Context, e *engine.Engine, n int, options ...engine.Option) error {
	acquiring, ctx := errgroup.WithContext(ctx)
	for first := range acquirers {
		acquiring.Go(func() error {
			for i := first; i < n; i += acquirers {
				if _, err := e.Acquire(ctx, leaseName(i), options...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return acquiring.Wait()
}

// heap returns the memory in use, after garbage has been collected; twice, since pools keep theirs for one time.
func heap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// cpu returns what this process has used so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // it has no other arguments to be wrong
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// withoutQuorum asks the servers themselves, and returns how many of n leases a majority has no key of.
func withoutQuorum(ctx context.Context, f *fleet, n int) (missing int, err error) {
	list := connect(f)
	defer list.close()
	const step = 10_000
	for first := 0; first < n; first += step {
		keys := make([]int, min(step, n-first)) // of each lease
		for _, client := range list {
			found, err := exist(ctx, client, first, len(keys))
			if err != nil {
				return 0, err
			}
			for i, there := range found {
				keys[i] += there
			}
		}
		for _, k := range keys {
			if k < f.quorum() {
				missing++
			}
		}
	}
	return missing, nil
}

// exist says of n leases from the first, whether a server has the key: 1 or 0.
func exist(ctx context.Context, client *redis.Client, first, n int) ([]int, error) {
	answers, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.Exists(ctx, leaseName(first+i))
		}
		return nil
	})
	found := make([]int, n)
	for i, a := range answers {
		found[i] = int(a.(*redis.IntCmd).Val())
	}
	return found, err
}
