package instance_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// What somebody else keeps under a name is that name's trouble, and nobody else's.

// poisons are what others keep.
var poisons = []struct {
	name   string
	put    func(s *redistest.Server, key string)
	err    error // what is in the error of an acquire of that name
	says   string
	millis int64 // left
}{
	{"2 MB", sized(2 << 20), instance.ErrForeign, "something else uses this name", -1},
	{"64 MB", sized(64 << 20), instance.ErrForeign, "something else uses this name", -1},
	{"a page", func(s *redistest.Server, key string) { s.Set(key, strings.Repeat("<p>", 1000), 0) }, instance.ErrForeign, "something else uses this name", -1},
	{"a hash", func(s *redistest.Server, key string) { s.MustDo("HSET", key, "a", "b") }, engine.ErrNoQuorum, "something else is stored under that name", -1},
	{"285 million years", func(s *redistest.Server, key string) { s.MustDo("SET", key, "x", "EX", "9000000000000000") }, engine.ErrHeld, "held", math.MaxInt64},
	{"an empty text", func(s *redistest.Server, key string) { s.Set(key, "", 0) }, engine.ErrHeld, "held", -1},
}

func sized(bytes int) func(*redistest.Server, string) {
	return func(s *redistest.Server, key string) { s.MustDo("SETRANGE", key, fmt.Sprint(bytes-1), "x") }
}

// others hold many leases of an engine, and acquire and release meanwhile.
type others struct {
	engine *engine.Engine
	leases []*lease.Lease
	states []instance.Health
}

func startOthers(t *testing.T, e *engine.Engine) *others {
	t.Helper()
	o := &others{engine: e}
	for n := range 200 {
		o.leases = append(o.leases, acquire(t, e, fmt.Sprint("other ", n)))
	}
	o.states = e.Instances()
	return o
}

// whileTrying has 8 goroutines try a name again and again, until all leases have been renewed
// several times: nobody else notices anything. try says whether what came of it is right.
func (o *others) whileTrying(t *testing.T, try func() error) {
	t.Helper()
	var trying sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		trying.Go(func() {
			for !stop.Load() {
				if err := try(); err != nil {
					t.Errorf("try: %v", err)
					return
				}
			}
		})
	}
	for round := range 3 {
		renewed := make([]time.Time, len(o.leases))
		for n, l := range o.leases {
			renewed[n] = l.Deadline()
		}
		eventually(t, "all leases are renewed", func() bool {
			l, err := o.engine.TryAcquire(within(t), "another")
			if err != nil {
				t.Fatalf("round %d: an acquire of another name: %v", round, err)
			}
			release(t, l)
			return !slices.ContainsFunc(o.leases, func(l *lease.Lease) bool {
				return l.Valid() && !l.Deadline().After(renewed[slices.Index(o.leases, l)])
			})
		})
	}
	stop.Store(true)
	trying.Wait()
	for _, l := range o.leases {
		if !l.Valid() {
			t.Errorf("%v has ended, want it held: %v", l, l.Err())
		}
	}
	for n, h := range o.engine.Instances() {
		if h.State != instance.Up || !h.Since.Equal(o.states[n].Since) {
			t.Errorf("%s has been down: %v since %v, and was since %v", h.Name, h.State, h.Since, o.states[n].Since)
		}
	}
}

func TestOneForeignValueIsNobodyElsesTrouble(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: 1500 * time.Millisecond, InstanceTimeout: 5 * time.Second}) // for machines that are busy
	o := startOthers(t, e)
	for n, poison := range poisons {
		if testing.Short() && n%3 != 0 {
			continue // each of them waits for all renewals, several times: some must do
		}
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
			t.Run(fmt.Sprintf("%s, %d options", poison.name, len(opts)), func(t *testing.T) {
				name := fmt.Sprintf("poisoned by %s, %d", poison.name, len(opts))
				for _, s := range servers {
					poison.put(s, name)
				}
				o.whileTrying(t, func() error {
					_, err := e.TryAcquire(within(t), name, opts...)
					if !errors.Is(err, poison.err) || !strings.Contains(err.Error(), poison.says) || len(err.Error()) > 1500 {
						return fmt.Errorf("tried: %.2000v", err)
					}
					return nil
				})
				if poison.err == engine.ErrNoQuorum { // the bare value
					return
				}
				status, err := e.Inspect(within(t), name)
				if err != nil || !status.Held {
					t.Errorf("inspected: %v, %v", status, err)
				}
				for _, v := range status.Votes {
					if v.Left != time.Duration(poison.millis) || errors.Is(v.Err, instance.ErrForeign) != (poison.err == instance.ErrForeign) || len(v.Holder) > 64 { // the bare value
						t.Errorf("inspected: %v, left %d", v, v.Left)
					}
				}
				for n, s := range servers {
					s.Del(name)
					if l, err := e.TryAcquire(within(t), fmt.Sprint("and then ", n)); err != nil {
						t.Errorf("e.TryAcquire: %v", err)
					} else {
						release(t, l)
					}
				}
				release(t, acquire(t, e, name, opts...)) // the name is good again
			})
		}
	}
}

// A server that is far away, over a link on which 64 MB take seconds.
func TestALongValueIsNotWaitedForOverASlowLink(t *testing.T) {
	server := redistest.StartTCP(t)
	i, err := instance.Dial(server.URL(), instance.Config{Timeout: 2 * time.Second, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return slow{conn}, err
	}})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{TTL: 1500 * time.Millisecond}, i)
	o := startOthers(t, e)
	sized(64<<20)(server, "report")
	o.whileTrying(t, func() error {
		if _, err := e.TryAcquire(within(t), "report"); !errors.Is(err, instance.ErrForeign) {
			return fmt.Errorf("tried: %w", err)
		}
		return nil
	})
}

// slow is a connection on which 16 MB take a second at least.
type slow struct{ net.Conn }

func (c slow) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 16<<10)])
	time.Sleep(time.Duration(n) * time.Second / (16 << 20))
	return n, err
}

// What is there is not deleted: it was not even seen whole.
func TestForceReleaseLeavesForeignValuesAlone(t *testing.T) {
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	sized(2<<20)(servers[0], "report")
	status, err := e.Inspect(within(t), "report")
	if err != nil {
		t.Fatalf("e.Inspect: %v", err)
	}
	err = e.ForceRelease(within(t), status)
	if !errors.Is(err, instance.ErrForeign) {
		t.Errorf("force release: got %v, want %v", err, instance.ErrForeign)
	}
	if n := servers[0].MustDo("STRLEN", "report"); n != int64(2<<20) {
		t.Errorf("%v bytes are left", n)
	}
}

// A lock that lives for longer than a time.Duration is waited for like any other: not in a
// hurry, and until it is released.
func TestALockThatLivesForEverIsWaitedFor(t *testing.T) {
	servers := redistest.StartN(t, 3)
	var rounds atomic.Int32
	e := open(t, servers, engine.Config{Trace: &engine.Trace{Round: func(engine.RoundInfo) { rounds.Add(1) }}})
	for _, s := range servers {
		s.MustDo("SET", "r", "x", "EX", "9000000000000000")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := e.Acquire(ctx, "r"); !errors.Is(err, engine.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("acquire: got %v, want ErrHeld and the context's error", err)
	}
	if n := rounds.Load(); n > 10 {
		t.Errorf("%d rounds of votes in half a second", n)
	}
	before := rounds.Load()
	acquired := make(chan *lease.Lease)
	go func() {
		l, err := e.Acquire(within(t), "r")
		if err != nil {
			t.Errorf("e.Acquire: %v", err)
		}
		acquired <- l
	}()
	eventually(t, "it has been refused", func() bool { return rounds.Load() > before })
	for _, s := range servers {
		s.Del("r")
	}
	if l := <-acquired; l != nil {
		release(t, l)
	}
}

// 512 MB is what a value of Redis may have.
func TestAValueOf512MB(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a gigabyte of memory")
	}
	servers := redistest.StartN(t, 1)
	sized(512<<20)(servers[0], "report") // first: making it holds the server up for a second
	e := open(t, servers, engine.Config{TTL: 1500 * time.Millisecond, InstanceTimeout: 5 * time.Second})
	o := startOthers(t, e)
	var tries atomic.Int32
	begun := time.Now()
	o.whileTrying(t, func() error {
		if _, err := e.TryAcquire(within(t), "report"); !errors.Is(err, instance.ErrForeign) {
			return fmt.Errorf("tried: %w", err)
		}
		tries.Add(1)
		return nil
	})
	t.Logf("%d tries in %v", tries.Load(), time.Since(begun))
}
