// Gocron runs a job of github.com/go-co-op/gocron on one of several hosts:
//
//	go -C examples/gocron run .
//
// Without HOLDFAST_REDIS it starts three Redis servers inside this program, and three
// schedulers, for some seconds. With HOLDFAST_REDIS set it is one scheduler, until ^C:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go -C examples/gocron run .
//
// With -elect the schedulers elect one of them, which runs all jobs. Without, each job has a lock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
)

const (
	crontab = "* * * * * *"    // with seconds: every second
	every   = time.Second      // the same
	window  = every * 8 / 10   // see locker
	show    = every * 42 / 10  // how long the three run
	work    = time.Second / 10 // what the job takes

	openTimeout = 5 * time.Second
)

func main() {
	elect := flag.Bool("elect", false, "one scheduler runs all jobs: it is elected")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *elect)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "gocron:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, elect bool) error {
	urls, own, err := embedded.Redis()
	if err != nil {
		return err
	}
	if own == nil {
		return schedule(ctx, urls, fmt.Sprint("process ", os.Getpid()), elect)
	}
	defer own.Close()
	ctx, cancel := context.WithTimeout(ctx, show)
	defer cancel()
	hosts, ctx := errgroup.WithContext(ctx)
	for _, name := range []string{"Ada", "Bob", "Cy"} {
		hosts.Go(func() error { return schedule(ctx, urls, name, elect) })
	}
	return hosts.Wait()
}

// distributor sees to it that one of several schedulers runs a job: a locker, or an elector.
type distributor interface {
	Context(parent context.Context, job string) (context.Context, context.CancelFunc, error)
}

// distribute makes one, and the option by which gocron uses it. It works until ctx ends, and stop waits for that.
func distribute(ctx context.Context, locks *engine.Engine, name string, elect bool) (d distributor, option gocron.SchedulerOption, stop func() error) {
	if !elect {
		l := newLocker(locks, every, window)
		return l, gocron.WithDistributedLocker(l), func() error { return nil }
	}
	e := &elector{locks: locks}
	candidate, ctx := errgroup.WithContext(ctx)
	candidate.Go(func() error { return e.run(ctx, name) })
	return e, gocron.WithDistributedElector(e), candidate.Wait
}

// schedule runs a scheduler until ctx ends.
func schedule(ctx context.Context, urls []string, name string, elect bool) (err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	locks, err := engine.Open(opening, urls, engine.Config{TTL: window, Owner: name, KeyPrefix: "holdfast-gocron:"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close(context.WithoutCancel(ctx))) }()
	ctx, cancel = context.WithCancel(ctx)
	distributor, option, stop := distribute(ctx, locks, name, elect)
	defer func() {
		cancel()
		err = errors.Join(err, stop())
	}()
	scheduler, err := gocron.NewScheduler(option)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(scheduler.Shutdown(), err) }()

	const job = "report"
	_, err = scheduler.NewJob(
		gocron.CronJob(crontab, true),
		gocron.NewTask(func(ctx context.Context) error { // gocron's context: it ends with the scheduler
			ctx, done, err := distributor.Context(ctx, job)
			if err != nil {
				return err
			}
			defer done()
			return report(ctx, name)
		}),
		gocron.WithName(job), // that is what is locked
		gocron.WithContext(ctx),
		gocron.WithEventListeners(gocron.AfterJobRunsWithError(func(_ uuid.UUID, _ string, err error) {
			fmt.Println(name, "breaks off:", err)
		})),
	)
	if err != nil {
		return err
	}
	scheduler.Start()
	<-ctx.Done()
	return nil
}

// report is the work. It stops when ctx ends, and so when the lock is lost.
func report(ctx context.Context, name string) error {
	fmt.Println(name, "runs", time.Now().Truncate(every).Format(time.TimeOnly))
	select {
	case <-time.After(work):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
