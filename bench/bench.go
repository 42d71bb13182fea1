package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// scenario is one question that is put to the peers.
type scenario struct {
	name    string
	title   string
	columns []column
	glance  func(*report) *table // a second table, which shows less at once; nil is none
	run     func(context.Context, *bench, *report) error
}

// scenarios are all of them, in the order in which they run.
var scenarios = []scenario{
	distinct, latency, delay, stopped, contended, cohort, handover, processes, crowded, mixed, idle, large, fencing, releases, each, beside, several, shared, readers, allocs, held, lostLocks,
}

func names() []string {
	var list []string
	for _, s := range scenarios {
		list = append(list, s.name)
	}
	return list
}

// bench is what the scenarios share.
type bench struct {
	plan
	peers    *regexp.Regexp // whom to measure; nil is all
	server   string         // which Redis or Valkey to run; "" is the redis-server in PATH
	progress io.Writer
	began    time.Time
	absent   []string // who is missing from the scenario that runs, and why
}

// run runs one scenario. The report has what was measured before an error.
func (b *bench) run(ctx context.Context, s scenario) (*report, error) {
	r := newReport(s)
	b.absent = nil
	b.say("%s", s.name)
	err := s.run(ctx, b, r)
	r.Notes = append(r.Notes, b.absent...)
	if err != nil {
		err = fmt.Errorf("scenario %s: %w", s.name, err)
	}
	return r, err
}

// say tells how far it has come.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%8v  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// cell is one place in a scenario's grid, where the peers are measured against each other.
type cell struct {
	instances, callers int
	under              string // what else is special about it
}

func (c cell) String() string {
	text := fmt.Sprintf("N=%d, %s", c.instances, plural(c.callers, "caller"))
	if c.under != "" {
		text += ", " + c.under
	}
	return text
}

// values are what one run measured, by the keys of the report's columns.
type values map[string]float64

// measure is one run of one peer.
type measure func(context.Context, *fleet, peer) (values, error)

// here is a measure that opens the peer in this process.
func here(m func(context.Context, *fleet, locker) (values, error)) measure {
	return func(ctx context.Context, f *fleet, p peer) (values, error) {
		l, err := p.open(ctx, f)
		if err != nil {
			return nil, err
		}
		defer l.close()
		return m(ctx, f, l)
	}
}

// cell measures each peer on servers of its own, in turn, round after round.
func (b *bench) cell(ctx context.Context, r *report, c cell, peers []peer, m measure) ([]*record, error) {
	peers = b.taking(peers, c.instances)
	return b.inTurn(r, c, peers, b.rounds, func(i int) (values, error) { return b.once(ctx, c, peers[i], m) })
}

// alternating is cell for what is small: all peers stay connected to the same servers, and what is compared was measured
// a moment before or after, in the same processes. Two starts of a server and a client differ by more than the peers do.
func (b *bench) alternating(ctx context.Context, r *report, c cell, peers []peer, m func(context.Context, peer, locker) (values, error)) (_ []*record, err error) {
	peers = b.taking(peers, c.instances)
	f, err := startFleet(ctx, redisServer, c.instances, b.unix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	var lockers []locker
	for _, p := range peers {
		l, err := p.open(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("%s, %v: %w", p.name, c, err)
		}
		defer l.close()
		lockers = append(lockers, l)
	}
	return b.inTurn(r, c, peers, b.turns, func(i int) (values, error) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		runtime.GC() // what the one before has left is not this one's work
		return m(ctx, peers[i], lockers[i])
	})
}

// inTurn measures the peers in turn, round after round, and adds a record for each of them to the report.
func (b *bench) inTurn(r *report, c cell, peers []peer, rounds int, once func(peer int) (values, error)) ([]*record, error) {
	records := make([]*record, len(peers))
	for i, p := range peers {
		records[i] = &record{Peer: p.name, Instances: c.instances, Callers: c.callers, Under: c.under}
	}
	for round := range rounds {
		for k := range peers {
			i := (k + round) % len(peers) // nobody always follows the same one
			v, err := once(i)
			if err != nil {
				return nil, fmt.Errorf("%s, %v: %w", peers[i].name, c, err)
			}
			records[i].Rounds = append(records[i].Rounds, v)
		}
	}
	for _, rec := range records {
		rec.settle()
	}
	r.Records = append(r.Records, records...)
	b.say("  %s: %v", r.Name, c)
	return records, nil
}

// taking returns those who take part.
func (b *bench) taking(peers []peer, instances int) []peer {
	var list []peer
	for _, p := range peers {
		if p.solo && instances > 1 || b.peers != nil && !b.peers.MatchString(p.name) {
			continue
		}
		kind := b.programOf(p)
		if _, err := exec.LookPath(kind.name); err != nil {
			b.miss(fmt.Sprintf("%s is left out: there is no %s in PATH (%s).", p.name, kind.name, kind.by))
			continue
		}
		list = append(list, p)
	}
	return list
}

// miss notes who is missing, once.
func (b *bench) miss(why string) {
	if !slices.Contains(b.absent, why) {
		b.absent = append(b.absent, why)
		b.say("  %s", why)
	}
}

// programOf is what is run for a peer.
func (b *bench) programOf(p peer) *program {
	kind := p.program()
	if kind == redisServer && b.server != "" {
		other := *kind
		other.name = b.server
		return &other
	}
	return kind
}

// once is one run: servers of its own, one peer, one measurement.
func (b *bench) once(ctx context.Context, c cell, p peer, m measure) (v values, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	f, err := startFleet(ctx, b.programOf(p), c.instances, b.unix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	runtime.GC() // what the one before has left is not this one's work
	return m(ctx, f, p)
}

// sleep sleeps for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
