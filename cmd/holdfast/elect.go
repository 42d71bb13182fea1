//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

func newElect() action { return &electAction{runAction: runAction{name: "elect"}} }

// electAction is `holdfast elect`: a command while this process leads.
type electAction struct {
	runAction // what is done with the command
	value     string
}

func (e *electAction) flags(fs *flag.FlagSet) {
	e.servers.flags(fs)
	e.ttl, e.weight = span(10*time.Second), 1
	fs.StringVar(&e.value, "value", "", "what observers are told of the leader: a `TEXT`, such as an address")
	fs.Var(&e.ttl, "ttl", "a leader that dies keeps others from leading for `TIME`, which is at most --max-ttl")
	fs.Var(&e.grace, "grace", "the command gets TERM `TIME` before another may lead. Default: a third of the TTL, at most 5s")
	fs.BoolVar(&e.group, "wait-group", false, "lead until the command's whole process group has ended")
	fs.BoolVar(&e.pass, "pass-redis", false, "leave HOLDFAST_REDIS and HOLDFAST_REDIS_FILE in the command's environment")
	fs.StringVar(&e.owner, "owner", "", "the `NAME` that others see as the leader. Default: user@host:pid")
	fs.BoolVar(&e.watch, "watch-lock", true, "hear at once that the lead was taken away; --watch-lock=false hears of it by renewing")
	e.audit.flags(fs)
}

// run leads, and runs the command, until that ends by itself.
func (e *electAction) run(ctx context.Context, args arguments) error {
	switch front := len(args.front); {
	case front == 0 && len(args.behind) == 0:
		return usage("name the election and the command: holdfast elect ELECTION -- COMMAND")
	case front > 1:
		return usage("name one election, and write -- between it and the command: holdfast elect ELECTION -- COMMAND")
	case len(args.behind) == 0:
		return usage("name the command, behind --: holdfast elect ELECTION -- COMMAND")
	case len(e.value) > engine.MaxValue:
		return usage("--value has %d bytes: at most %d", len(e.value), engine.MaxValue)
	}
	elections, argv, err := e.split(args)
	if err != nil {
		return err
	}
	path, err := lookUp(argv[0])
	if err != nil {
		return err
	}
	if err := e.audit.open(e.name); err != nil {
		return err
	}
	defer e.audit.close()
	signals := catchSignals()
	defer signals.stop()
	locks, err := e.begin(ctx, signals)
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }() // resigns if it still leads; the rest has been said
	for {
		leader, err := e.campaign(ctx, locks, elections[0], signals)
		if err != nil {
			return err
		}
		code, err := e.supervise(leader.Lease, signals, path, argv, e.environ(leader.Lease))
		if err == nil {
			return e.end(leader.Lease, code)
		}
		_ = leader.Release(ctx) // nothing is run under it; why it was lost is said below
		var lost *exitError
		if !errors.As(err, &lost) || lost.code != exitLost {
			return err
		}
		fmt.Fprintf(os.Stderr, "holdfast %s: %s: campaigning again\n", e.name, oneLine(err.Error()))
	}
}

// untilCalledOff is a context for what is done while there is no command: a signal ends it, and orphans are reaped.
func untilCalledOff(ctx context.Context, signals *signals) (waiting context.Context, done func()) {
	waiting, heard := untilSignal(ctx, signals.in)
	reaped := reaping()
	return waiting, func() {
		heard()
		reaped()
	}
}

// begin returns an engine with a quorum.
func (e *electAction) begin(ctx context.Context, signals *signals) (*engine.Engine, error) {
	waiting, done := untilCalledOff(ctx, signals)
	defer done()
	return e.open(waiting, e.config())
}

// campaign waits until it leads.
func (e *electAction) campaign(ctx context.Context, locks *engine.Engine, election string, signals *signals) (*engine.Leader, error) {
	waiting, done := untilCalledOff(ctx, signals)
	defer done()
	var opts []engine.Option
	if e.watch {
		opts = append(opts, engine.WithWatch())
	}
	leader, err := locks.Campaign(waiting, election, e.value, opts...)
	if err != nil {
		return nil, err
	}
	e.audit.granted(leader.Lease)
	done()
	if waiting.Err() != nil { // it leads and was called off in the same moment
		return nil, fmt.Errorf("campaign %q: %w", election, context.Cause(waiting))
	}
	return leader, nil
}
