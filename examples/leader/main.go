// Leader elects one of several processes, and another one when it dies:
//
//	go run ./examples/leader
//
// It starts three Redis servers inside this program, and three candidates as
// processes of their own. Then it kills the first leader, whom another follows when
// the lease is over, and interrupts the second, whom another follows at once.
//
// With HOLDFAST_REDIS set it is one candidate, until ^C. Start it on several hosts:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go run ./examples/leader -name host-1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/lease"
)

// ttl is how long nobody leads after a leader has died.
const ttl = 2 * time.Second

const openTimeout = 5 * time.Second

func main() {
	name := flag.String("name", fmt.Sprint("process ", os.Getpid()), "who this candidate is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *name)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "leader:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string) error {
	if urls := embedded.Env(); len(urls) > 0 {
		return campaign(ctx, urls, name)
	}
	return watchThree(ctx)
}

// campaign is a candidate: it leads whenever it is elected, until ctx ends.
func campaign(ctx context.Context, urls []string, name string) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	locks, err := engine.Open(opening, urls, engine.Config{TTL: ttl, Owner: name, KeyPrefix: "holdfast-leader:"})
	if err != nil {
		return err
	}
	defer locks.Close(context.WithoutCancel(ctx))

	for {
		err := leadOnce(ctx, locks, name)
		switch {
		case ctx.Err() != nil: // resigned, so that another need not wait
			fmt.Println(name, "goes")
			return nil
		case errors.Is(err, lease.ErrLost): // deposed: another may lead by now
			fmt.Printf("%s leads no more: %v\n", name, err)
		default:
			return err
		}
	}
}

// leadOnce waits until it leads, and leads until it is deposed or ctx ends.
func leadOnce(ctx context.Context, locks *engine.Engine, name string) error {
	leader, err := locks.Campaign(ctx, "leader", name) // what observers are told of it
	if err != nil {
		return err
	}
	defer leader.Release(ctx)
	fmt.Println(name, "leads")
	leading, cancel := leader.Context(ctx)
	defer cancel()
	return lead(leading)
}

// lead is the leader's work, in steps that are short against the TTL. Its context
// ends when the lease does, even if no server can be reached; what it asks of others
// is asked with that context. A step that must not be taken by an old leader needs its
// term, Leader.Term, which is a fencing token: see the example fencedsql.
func lead(ctx context.Context) error {
	steps := time.NewTicker(50 * time.Millisecond)
	defer steps.Stop()
	for {
		select {
		case <-steps.C: // here the leader leads
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
