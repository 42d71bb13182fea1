package instance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// Nothing of an old connection is executed after the new one began: an acquire
// that was on its way when its connection was given up, and that arrives when
// its undo or release has long been executed on the next one, leaves no lock
// behind.
//
// Either the connection that it would arrive on has been killed, or, where that
// is not permitted, the fence that its undo left refuses it. With neither it
// does leave one each time: that is the control, without which nothing would be
// shown.
func TestOrderAcrossReconnects(t *testing.T) {
	const killing, notKilling = "~* +@all", "~* +@all -client|kill"
	const plain, fenced = "set", "time" // executed by an acquire that arrives, and else by a look at the queue alone
	fencing := []engine.Option{engine.WithFencing()}
	for _, c := range []struct {
		name    string
		rule    string
		opts    []engine.Option
		acquire string
		tries   int
		late    int // how many acquires a try executes in the end
		orphans int // and how many locks it leaves that nobody holds
	}{
		{"killed, without fencing", killing, nil, plain, 1000, 0, 0},
		{"killed, with fencing", killing, fencing, fenced, 1000, 0, 0},
		{"not killed, with fencing", notKilling, fencing, fenced, 1000, 1, 0},
		{"control: not killed, without fencing", notKilling, nil, plain, 200, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				c.tries = 100
			}
			server := redistest.Start(t)
			server.User("holdfast", "order", c.rule)
			const clients = 20
			var all [clients]overtaken
			var wg sync.WaitGroup
			for k := range all {
				all[k].open(t, server, c.opts)
				wg.Go(func() {
					for all[k].tries < c.tries/clients && !t.Failed() {
						all[k].try(t, fmt.Sprintf("late-%d-%d", k, all[k].tries))
					}
				})
			}
			wg.Wait()

			late, orphans, unclear, tries := server.Calls(c.acquire), 0, 0, 0
			if c.acquire == fenced {
				late -= server.Calls("zcount") // of each look
			}
			for _, o := range all {
				late -= o.granted
				unclear += o.unclear
				tries += o.tries
			}
			for _, key := range server.Keys() {
				if strings.HasPrefix(key, "late-") {
					orphans++
				}
			}
			t.Logf("%d tries of %d: %d acquires were executed late, %d orphans", tries, c.tries, late, orphans)
			if t.Failed() { // one was not tried to its end: it may have left anything
				return
			}
			if want := tries * c.orphans; orphans != want {
				t.Errorf("%d orphans in %d tries, want %d", orphans, tries, want)
			}
			if want := tries * c.late; late < want || late > want+unclear {
				t.Errorf("%d acquires were executed late in %d tries, want %d (and %d at most that were not late)", late, tries, want, unclear)
			}
		})
	}
}

// overtaken is a client whose requests a proxy holds until it has overtaken
// itself.
type overtaken struct {
	proxy   *proxy.Proxy
	engine  *engine.Engine
	opts    []engine.Option
	tries   int
	granted int // acquires that got through on another connection
	unclear int // and such that may have
}

func (o *overtaken) open(t *testing.T, server *redistest.Server, opts []engine.Option) {
	t.Helper()
	o.proxy = proxy.Start(t, server.Network(), server.Addr())
	o.opts = opts
	i, err := instance.Dial(o.proxy.URL(), instance.Config{Username: "holdfast", Password: "order"})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	if o.engine, err = engine.New([]*instance.Instance{i}, engine.Config{TTL: time.Minute}); err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	t.Cleanup(func() { _ = o.engine.Close(context.WithoutCancel(t.Context())) })
	state(t, o.engine, 0, instance.Up)
}

// try has an acquire held, makes the client give up its connection, waits until
// what takes the acquire back has been executed, and delivers the acquire. Every
// tenth time the connection is given up because no answer comes, half of these
// after the caller has left; else because it breaks at the client's end.
func (o *overtaken) try(t *testing.T, resource string) {
	ctx, leave := context.WithCancel(within(t))
	defer leave()
	o.hold(t)
	defer func() { o.proxy.Deliver() }()
	acquired := make(chan *lease.Lease, 1)
	go func() {
		l, _ := o.engine.TryAcquire(ctx, resource, o.opts...)
		acquired <- l
	}()
	for o.proxy.Held() == 0 {
		select {
		case l := <-acquired: // the connection had broken before, and this went over the next
			o.takeBack(t, resource, l, true)
			return
		case <-time.After(time.Millisecond):
		}
	}
	switch o.tries % 20 {
	case 0: // it times out, and is not repeated
		o.takeBack(t, resource, <-acquired, false)
	case 10:
		leave()
		o.takeBack(t, resource, <-acquired, false)
	default:
		o.proxy.Strand()
		o.takeBack(t, resource, <-acquired, true)
	}
	eventually(t, "the acquire has been delivered, and its connection is over", o.proxy.Deliver())
	o.tries++
}

// hold holds the connection that the next acquire goes over, and no other: now and then
// there is one for a moment that only looks who is there.
func (o *overtaken) hold(t *testing.T) {
	for {
		eventually(t, "there is one connection", func() bool { return o.proxy.Conns() == 1 })
		if o.proxy.Hold(); o.proxy.Conns() == 1 {
			return
		}
		o.proxy.Deliver()
	}
}

// takeBack releases what an acquire got on another connection, where it was sent
// again, and waits until everything has been executed that was posted: an answer
// to a question that is posted behind it says so.
func (o *overtaken) takeBack(t *testing.T, resource string, l *lease.Lease, again bool) {
	switch {
	case l != nil:
		o.granted++
		// On a busy machine it may be late. Then it is owed, and paid before anything is asked on the next connection.
		if err := l.Release(within(t)); err != nil && !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("release %q: %v", resource, err)
		}
	case again:
		o.unclear++
	}
	eventually(t, "what was posted has been executed", func() bool {
		_, err := o.engine.Inspect(within(t), resource)
		return err == nil
	})
}
