// Fencedsql writes to a SQL database under a lock, and lets the database refuse a
// writer that comes too late:
//
//	go -C examples/fencedsql run .
//
// It needs a C compiler for SQLite, which it embeds. With HOLDFAST_POSTGRES set it uses
// that database, where it makes a table holdfast_accounts, and with HOLDFAST_REDIS set
// real servers instead of three inside this program:
//
//	HOLDFAST_POSTGRES=postgres://user:password@localhost/database go -C examples/fencedsql run .
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/lease"
)

// ttl is short, so that you need not wait long for a lease to end.
const ttl = 2 * time.Second

const openTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Getenv("HOLDFAST_POSTGRES"))
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "fencedsql:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string) (err error) {
	db, err := openLedger(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	urls, own, err := embedded.Redis()
	if err != nil {
		return err
	}
	defer own.Close()

	account := rand.Text()[:8] // nobody else's
	if err := db.open(ctx, account, 100); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx), account)) }()
	ada, err := newClerk(ctx, urls, "Ada", db, account)
	if err != nil {
		return err
	}
	defer ada.locks.Close(context.WithoutCancel(ctx))
	bob, err := newClerk(ctx, urls, "Bob", db, account)
	if err != nil {
		return err
	}
	defer bob.locks.Close(context.WithoutCancel(ctx))
	return story(ctx, ada, bob)
}

// story is what a lock alone cannot prevent: Ada is paused behind her last look at the
// lease, and writes when it is Bob's.
func story(ctx context.Context, ada, bob *clerk) error {
	hers, balance, err := ada.begin(ctx, engine.WithoutRenewal()) // a paused process does not renew
	if err != nil {
		return err
	}
	fmt.Println("Ada is paused, by a collection of garbage, say, or with her virtual machine")

	his, before, err := bob.begin(ctx) // waits until Ada's keys have expired
	if err != nil {
		return err
	}
	if err := bob.write(ctx, his, before+50); err != nil {
		return err
	}
	fmt.Println("Ada wakes up, and believes that she holds the lock")
	err = ada.write(ctx, hers, balance-10)
	if !errors.Is(err, errStale) {
		return fmt.Errorf("the write came too late, but the database says: %v", err)
	}
	fmt.Println("Ada's write is refused:", err)
	after, err := bob.db.balance(ctx, bob.account)
	if err != nil {
		return err
	}
	if after != before+50 {
		return fmt.Errorf("the balance is %d", after)
	}
	fmt.Printf("the balance is %d, as Bob wrote it\n", after)
	if err := hers.Release(ctx); !errors.Is(err, lease.ErrLost) {
		return fmt.Errorf("the lease was over, but Release returned %v", err)
	}
	return his.Release(ctx)
}

// clerk changes the balance of an account, in a process of their own.
type clerk struct {
	name    string
	account string
	db      *ledger
	locks   *engine.Engine
}

func newClerk(ctx context.Context, urls []string, name string, db *ledger, account string) (*clerk, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	locks, err := engine.Open(ctx, urls, engine.Config{TTL: ttl, Owner: name, KeyPrefix: "holdfast-fencedsql:"})
	if err != nil {
		return nil, err
	}
	return &clerk{name, account, db, locks}, nil
}

// begin locks the account, writes the fencing token to it, and then reads the balance.
// In this order: what is read before may still be changed by the holder before.
func (c *clerk) begin(ctx context.Context, opts ...engine.Option) (*lease.Lease, int64, error) {
	held, err := c.locks.Acquire(ctx, "account/"+c.account, append(opts, engine.WithFencing())...)
	if err != nil {
		return nil, 0, err
	}
	during, done := held.Context(ctx)
	defer done()
	if err := c.db.claim(during, c.account, held.Fence()); err != nil {
		return nil, 0, err
	}
	balance, err := c.db.balance(during, c.account)
	if err != nil {
		return nil, 0, err
	}
	fmt.Printf("%s holds the lock with fencing token %d, and reads %d\n", c.name, held.Fence(), balance)
	return held, balance, nil
}

// write does not look at the lease, as if the pause came right behind the look.
func (c *clerk) write(ctx context.Context, held *lease.Lease, balance int64) error {
	if err := c.db.write(ctx, c.account, balance, held.Fence()); err != nil {
		return err
	}
	fmt.Printf("%s writes %d\n", c.name, balance)
	return nil
}
