package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowded: what becomes of many processes who all want the same?
var crowded = scenario{
	name:  "crowd",
	title: "many engines with one caller each on one resource; each holds it for 1 ms and wants it again 1 ms later",
	columns: []column{
		{"rate", "grants/s", count},
		{"to two", "to that of two", ratio},
		{"to redsync", "to redsync", ratio},
		{"commands", "commands/grant", count},
		{"client", "client CPU/grant", duration},
		{"server", "server CPU/grant", duration},
		{"p50", "p50 wait", duration},
		{"p99", "p99 wait", duration},
		{"max", "longest wait", duration},
		{"p99 to turn", "p99/turn", ratio},
		{"max to turn", "longest/turn", ratio},
		{"least", "least share", ratio},
		{"overlaps", "held twice", count},
		{"errors", "gave up", count},
	},
	run: runCrowd,
}

func runCrowd(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Every engine has connections of its own, as a process has. All are in one process here, which shares the cores with the",
		"servers. Commands are as INFO counts them at all servers, those inside scripts included. A turn is the number of engines",
		"divided by the rate: how long each would wait if all were served one after the other. \"least share\" is the grants of the",
		"engine that got fewest, to the mean of all.",
	}
	for _, n := range []int{1, 3} {
		var of []*record
		for _, engines := range b.crowds {
			place := cell{instances: n, callers: engines}
			records, err := b.cell(ctx, r, place, []peer{holdfast, redsyncWaiting, redislockWaiting, rueidislockWaiting, etcdPeer}, b.inCrowd(engines))
			if err != nil {
				return err
			}
			compare(records, "rate", redsyncWaiting.name, "to redsync")
			if of == nil {
				of = records
			}
			compareToTwo(records, of)
		}
	}
	return nil
}

// compareToTwo adds to each record its rate as a part of the same peer's with two engines.
func compareToTwo(records, two []*record) {
	for _, r := range records {
		i := slices.IndexFunc(two, func(t *record) bool { return t.Peer == r.Peer })
		for k, round := range r.Rounds {
			round["to two"] = round["rate"] / two[i].Rounds[k]["rate"]
		}
		r.settle()
	}
}

// inCrowd is a run of so many engines.
func (b *bench) inCrowd(engines int) measure {
	return func(ctx context.Context, f *fleet, p peer) (v values, err error) {
		lockers := make([]locker, engines)
		defer func() {
			var closing errgroup.Group
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
		var holders, overlaps atomic.Int64
		sessions := make([]session, engines)
		for i, l := range lockers {
			sessions[i] = &leisurely{watched{session: l.session("order"), holders: &holders, overlaps: &overlaps}}
		}
		load := b.startLoad(ctx, sessions, acquires)
		sleep(ctx, b.warmup+time.Duration(engines)*2*time.Millisecond)
		before, err := f.commands(ctx, p)
		client, server := cpu(), f.cpu()
		w := load.measure(ctx, b.crowding)
		client, server = cpu()-client, f.cpu()-server
		after, err2 := f.commands(ctx, p)
		if err := errors.Join(err, err2, load.stop(), context.Cause(ctx)); err != nil {
			return nil, err
		}
		grants, rate, waits := float64(max(w.cycles(), 1)), w.rate(), w.samples()
		turn := float64(engines) / rate
		least := slices.MinFunc(w.tallies, func(a, b tally) int { return a.cycles - b.cycles }).cycles
		v = values{
			"rate":        rate,
			"client":      client.Seconds() / grants,
			"server":      server.Seconds() / grants,
			"p50":         percentile(waits, 0.50),
			"p99":         percentile(waits, 0.99),
			"max":         percentile(waits, 1),
			"p99 to turn": percentile(waits, 0.99) / turn,
			"max to turn": percentile(waits, 1) / turn,
			"least":       float64(least) * float64(engines) / grants,
			"overlaps":    float64(overlaps.Load()),
			"errors":      float64(w.errors()),
		}
		if p.program() == redisServer {
			v["commands"] = float64(after-before) / grants
		}
		return v, nil
	}
}

// leisurely is a session that holds for a while, and lets one pass before it wants it again.
type leisurely struct{ watched }

const holdAndThink = time.Millisecond

func (l *leisurely) release(ctx context.Context) error {
	time.Sleep(holdAndThink)
	err := l.watched.release(ctx)
	time.Sleep(holdAndThink)
	return err
}

// commands is how many commands the servers have executed, if the peer locks with Redis.
func (f *fleet) commands(ctx context.Context, p peer) (sum int64, err error) {
	if p.program() != redisServer {
		return 0, nil
	}
	clients := connect(f)
	defer clients.close()
	for _, c := range clients {
		info, err := c.Info(ctx, "stats").Result()
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(info, "total_commands_processed:")
		digits, _, _ := strings.Cut(rest, "\r")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("INFO stats: %w", err)
		}
		sum += n
	}
	return sum, nil
}
