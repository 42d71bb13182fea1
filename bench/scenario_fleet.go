package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// large: what do very many processes cost that have little to do, and what becomes of them when a server is restarted?
var large = scenario{
	name:  "fleet",
	title: "very many clients on one set of servers, which do nothing; then one server is restarted, beside two busy loops",
	columns: []column{
		{"heap", "heap a client, KB", count},
		{"goroutines", "goroutines a client", count},
		{"server", "servers' CPU, of one core", percent},
		{"client", "clients' CPU, of one core", percent},
		{"half", "half back after", duration},
		{"back", "all back after", duration},
		{"commands", "commands a client", count},
	},
	run: runFleet,
}

func runFleet(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"One round. A client is an engine, or what the peer has in its place, with connections of its own, as a process has. All are",
		"in this process. A client that is back has heard from the restarted server: an engine says so, the peers are asked to PING it,",
		fmt.Sprintf("some ten times a second each. After %v it is too late. Commands are those that the restarted server has got in that time.", b.returning),
	}
	once := *b
	once.rounds = 1
	for _, n := range []int{1, 3} {
		place := cell{instances: n, callers: b.fleet}
		if _, err := once.cell(ctx, r, place, []peer{holdfast, redsyncDefault, rueidislockPeer}, once.inFleet); err != nil {
			return err
		}
	}
	return nil
}

// lookBack is how long it is on average until a client is looked at again. More looks than that would be a load of their own.
const lookBack = 100 * time.Millisecond

// returning is a locker that knows whether it has a server.
type returning interface {
	// back reports whether the server, of those of the fleet, serves the locker.
	back(ctx context.Context, server int) bool
}

func (l holdfastLocker) back(_ context.Context, server int) bool {
	state := l.engine.Instances()[server].State
	return state == instance.Up || state == instance.Quarantined // it votes on renewals and releases, and on acquires later
}

func (l *redsyncLocker) back(ctx context.Context, server int) bool {
	return l.ping(ctx, server) == nil
}

func (l rueidislockLocker) back(ctx context.Context, _ int) bool {
	client := l.locker.Client()
	return client.Do(ctx, client.B().Ping().Build()).Error() == nil
}

func (b *bench) inFleet(ctx context.Context, f *fleet, p peer) (v values, err error) {
	heap, goroutines := footprint()
	lockers := make([]locker, b.fleet)
	defer func() {
		var closing errgroup.Group
		closing.SetLimit(64)
		for _, l := range lockers {
			if l != nil {
				closing.Go(func() error { l.close(); return nil })
			}
		}
		_ = closing.Wait()
	}()
	var opening errgroup.Group
	opening.SetLimit(16)
	for i := range lockers {
		opening.Go(func() (err error) {
			lockers[i], err = p.open(ctx, f)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return nil, err
	}
	heapAfter, goroutinesAfter := footprint()
	each := float64(b.fleet)
	v = values{"heap": (heapAfter - heap) / 1024 / each, "goroutines": (goroutinesAfter - goroutines) / each}

	sleep(ctx, b.warmup)
	server, client, begun := f.cpu(), cpu(), time.Now()
	sleep(ctx, b.idling)
	took := time.Since(begun).Seconds()
	v["server"], v["client"] = (f.cpu()-server).Seconds()/took, (cpu()-client).Seconds()/took
	return v, errors.Join(b.restarted(ctx, f, p, lockers, v), context.Cause(ctx))
}

// footprint is what this process has of heap in use, in bytes, and of goroutines.
func footprint() (heap, goroutines float64) {
	runtime.GC()
	runtime.GC() // what finalizers have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(runtime.NumGoroutine())
}

// restarted restarts the last server, and waits until all have it back, or for too long.
func (b *bench) restarted(ctx context.Context, f *fleet, p peer, lockers []locker, v values) error {
	busy, err := busyLoops(2)
	defer busy.stop()
	if err != nil {
		return err
	}
	victim := len(f.servers) - 1
	if err := f.restart(ctx, b.programOf(p), victim); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.returning)
	defer cancel()
	begun := time.Now()
	var mu sync.Mutex
	var back []time.Duration
	var waiting sync.WaitGroup
	for _, l := range lockers {
		waiting.Go(func() {
			for ctx.Err() == nil {
				if l.(returning).back(ctx, victim) {
					mu.Lock()
					defer mu.Unlock()
					back = append(back, time.Since(begun))
					return
				}
				sleep(ctx, lookBack/2+rand.N(lookBack))
			}
		})
	}
	waiting.Wait()
	for what, share := range map[string]float64{"half": 0.5, "back": 1} {
		v[what] = b.returning.Seconds() // at least
		if n := int(share * float64(len(lockers))); len(back) >= n {
			v[what] = back[n-1].Seconds()
		}
	}
	sent, err := (&fleet{servers: f.servers[victim:]}).commands(context.WithoutCancel(ctx), p)
	v["commands"] = float64(sent) / float64(len(lockers))
	return err
}

// loops are processes that do nothing, as fast as they can.
type loops []*process

func busyLoops(n int) (loops, error) {
	var list loops
	for range n {
		one, err := spawn(exec.Command("sh", "-c", "while :; do :; done"))
		if err != nil {
			return list, err
		}
		list = append(list, one)
	}
	return list, nil
}

func (l loops) stop() {
	for _, one := range l {
		one.kill()
	}
}

// restart kills a server, and starts it anew in the same place.
func (f *fleet) restart(ctx context.Context, kind *program, i int) error {
	s := f.servers[i]
	s.kill()
	again := &server{network: s.network, addr: s.addr}
	if err := kind.try(ctx, again, filepath.Join(f.dir, fmt.Sprint(i))); err != nil {
		return err
	}
	s.process = again.process
	return nil
}
