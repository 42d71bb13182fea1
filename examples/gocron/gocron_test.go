package main

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestNoTickRunsTwice(t *testing.T) {
	t.Parallel()
	onceEach(t, program.Start(t, "").Ends())
}

func TestTheLeaderRunsAllTicks(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	urls := strings.Join(redistest.URLs(servers), ",")
	one := program.Start(t, urls, "-elect")
	one.Await(`runs`)
	two := program.Start(t, urls, "-elect")
	one.Interrupt()
	first := one.Ends()
	two.Await(`runs`)
	two.Interrupt()
	onceEach(t, first+two.Ends())
	onceEach(t, program.Start(t, "", "-elect").Ends())
}

func TestProcessesRunEachTickOnce(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	urls := strings.Join(redistest.URLs(servers), ",")
	one, two := program.Start(t, urls), program.Start(t, urls)
	one.Await(`runs`)
	two.Await(`runs`)
	one.Interrupt()
	two.Interrupt()
	onceEach(t, one.Ends()+two.Ends())
	for n, s := range servers {
		if keys := s.Keys(); len(keys) != 0 {
			t.Errorf("it has left %q on server %d", keys, n)
		}
	}
}

// onceEach fails the test if a tick was run twice.
func onceEach(t *testing.T, output string) {
	t.Helper()
	runs := make(map[string]bool)
	for _, m := range regexp.MustCompile(`runs (\S+)\n`).FindAllStringSubmatch(output, -1) {
		if runs[m[1]] {
			t.Errorf("the tick %s was run twice", m[1])
		}
		runs[m[1]] = true
	}
	if len(runs) == 0 {
		t.Error("no tick was run")
	}
	if t.Failed() {
		t.Log(output)
	}
}

// The lock outlives the job, to the end of its window, and a job that is not locked has
// no context.
func TestALockIsHeldForItsWindow(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	locks, err := engine.Open(t.Context(), redistest.URLs(servers), engine.Config{})
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	defer locks.Close(t.Context())
	// A tick long ago, whose window goes on: nothing here depends on how fast it is.
	const day = 24 * time.Hour
	l := newLocker(locks, day, 4*day)
	if _, _, err := l.Context(t.Context(), "job"); err == nil {
		t.Error("a job that is not locked has a context")
	}
	held, err := l.Lock(t.Context(), "job")
	if err != nil {
		t.Fatalf("l.Lock: %v", err)
	}
	ctx, done, err := l.Context(t.Context(), "job")
	if err != nil {
		t.Fatalf("l.Context: %v", err)
	}
	defer done()
	unlocked := make(chan error, 1)
	go func() { unlocked <- held.Unlock(t.Context()) }()
	for l.leases() > 0 { // Unlock has not begun
		runtime.Gosched()
	}
	if status, err := locks.Inspect(t.Context(), "job"); err != nil || !status.Held || ctx.Err() != nil {
		t.Errorf("the lock is gone before its window is over: %v, %v", status, err)
	}
	if err := locks.Close(t.Context()); err != nil { // which ends the lease, and so the waiting
		t.Errorf("close the engine: %v", err)
	}
	<-unlocked
	if ctx.Err() == nil {
		t.Error("the lock is gone, but the job's context goes on")
	}
}

func (l *locker) leases() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}
