// Sentinel holds a lock on a master that Sentinels watch, and tells what it sees, also
// when another master takes over:
//
//	HOLDFAST_REDIS='redis-sentinel://:PASSWORD@host1:26379,host2:26379,host3:26379/0?master=NAME' go run ./examples/sentinel
//
// Then, elsewhere: redis-cli -p 26379 SENTINEL FAILOVER NAME. It ends with ^C, and says
// what it needs when HOLDFAST_REDIS is not set: Sentinels do not run inside a program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

const usage = `This example needs Redis Sentinel, which does not run inside a program. Name the
sentinels and their master:

  HOLDFAST_REDIS='redis-sentinel://:PASSWORD@host1:26379,host2:26379,host3:26379/0?master=NAME'

One such URL is one instance, and so one vote. docs/operations.md has every parameter.
`

// maxTTL is for how long a master that was promoted votes on no new locks: what it may
// not have heard of has run out then. Less than 15s would not do with Sentinels, since
// an old master may go on granting for some 10 seconds.
const maxTTL = 15 * time.Second

const openTimeout = 10 * time.Second

func main() {
	urls := embedded.Env()
	if len(urls) == 0 {
		fmt.Print(usage)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, urls)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "sentinel:", err)
		os.Exit(1)
	}
}

// run holds the lock until ctx ends, and takes it again whenever it is lost.
func run(ctx context.Context, urls []string) error {
	if !slices.ContainsFunc(urls, func(url string) bool { return strings.Contains(url, "sentinel") || strings.Contains(url, "master=") }) {
		return errors.New("HOLDFAST_REDIS names no sentinels: redis-sentinel://HOST?master=NAME")
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	locks, err := engine.Open(opening, urls, engine.Config{
		TTL:        10 * time.Second,
		RenewEvery: time.Second, // so that a failover is met soon
		MaxTTL:     maxTTL,
		KeyPrefix:  "holdfast-sentinel:",
	})
	if err != nil {
		return err
	}
	defer locks.Close(context.WithoutCancel(ctx))

	for {
		held, err := locks.Acquire(ctx, "report")
		if err != nil {
			return err
		}
		fmt.Println("the report is locked")
		err = hold(ctx, locks, held)
		if !errors.Is(err, lease.ErrLost) {
			return errors.Join(err, held.Release(ctx))
		}
		fmt.Println(err) // when the new master has not heard of it
	}
}

// hold tells what becomes of the instances, and of the lease, until ctx or the lease
// ends.
func hold(ctx context.Context, locks *engine.Engine, held *lease.Lease) error {
	ctx, cancel := held.Context(ctx)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	seen := make([]instance.State, len(locks.Instances()))
	deadline, after := held.Deadline(), false
	for {
		for n, i := range locks.Instances() {
			if i.State != seen[n] {
				fmt.Printf("%s is %v%s\n", i.Name, i.State, why(i))
				after = after || i.State == instance.Quarantined
				seen[n] = i.State
			}
		}
		if after && held.Deadline().After(deadline) {
			fmt.Println("the lease was renewed after that, and goes on")
			after = false
		}
		deadline = held.Deadline()
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// why explains the states in which an instance does not vote on new locks.
func why(i instance.Health) string {
	switch {
	case i.State == instance.Quarantined:
		return fmt.Sprintf(": it was promoted, or restarted, and grants no new locks for %v", i.Quarantine.Round(time.Second))
	case i.Err != nil:
		return ": " + i.Err.Error()
	}
	return ""
}
