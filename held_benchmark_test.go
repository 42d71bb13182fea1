//go:build unix

package holdfast_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// BenchmarkHeld is what it costs to hold many leases. One op is one second of
// holding, so that five minutes are
//
//	go test -run '^$' -bench Held/leases=100000$/ -benchtime 300x .
//
// The acquiring is measured apart, and is no part of the ops. An op's CPU is the
// client's: the servers are processes of their own.
func BenchmarkHeld(b *testing.B) {
	for _, c := range []struct{ leases, instances int }{
		{100_000, 3},
		{1_000_000, 1},
	} {
		b.Run(fmt.Sprintf("leases=%d/N=%d", c.leases, c.instances), func(b *testing.B) {
			hold(b, c.leases, c.instances)
		})
	}
}

func hold(b *testing.B, leases, instances int) {
	servers := redistest.StartN(b, instances)
	e, err := engine.Open(context.Background(), redistest.URLs(servers), engine.Config{TTL: 30 * time.Second})
	if err != nil {
		b.Fatalf("engine.Open: %v", err)
	}
	names := make([]string, leases)
	for n := range names {
		names[n] = "resource/" + strconv.Itoa(n)
	}
	empty, begun := liveHeap(), time.Now()
	acquireAll(b, e, names)
	rate := float64(leases) / time.Since(begun).Seconds()
	heap := float64(liveHeap()-empty) / float64(leases)

	cpu := cpuTime(b)
	for b.Loop() {
		time.Sleep(time.Second) // it is time that is spent here
	}
	b.ReportMetric(float64((cpuTime(b)-cpu).Milliseconds())/float64(b.N), "cpu-ms/op")

	held := len(e.Leases())
	b.ReportMetric(float64(leases-held), "lost")
	b.ReportMetric(rate, "acquires/s")
	b.ReportMetric(heap, "B/lease")
	if held != leases {
		b.Errorf("%d of %d leases are still held", held, leases)
	}
	_ = e.Close(context.Background()) // says which of a million could not be released in time
}

func acquireAll(b *testing.B, e *engine.Engine, names []string) {
	b.Helper()
	const callers = 512
	var acquires errgroup.Group
	for caller := range callers {
		acquires.Go(func() error {
			for n := caller; n < len(names); n += callers {
				if _, err := e.Acquire(context.Background(), names[n]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := acquires.Wait(); err != nil {
		b.Fatalf("acquires.Wait: %v", err)
	}
}

// liveHeap returns the bytes that are reachable.
func liveHeap() uint64 {
	for range 2 { // what a sync.Pool holds is gone after the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatalf("syscall.Getrusage: %v", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
