package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"time"
)

// scenario is one question that is put to the peers.
type scenario struct {
	name  string
	title string
	run   func(context.Context, *bench) (*report, error)
}

// scenarios are all of them, in the order in which they run.
var scenarios = []scenario{distinct, latency, stopped, allocs, contended}

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
	progress io.Writer
	began    time.Time
}

// cell is one place in a scenario's grid, where the peers are measured against each other.
type cell struct {
	instances, callers int
}

// values are what one run measured, by the keys of the report's columns.
type values map[string]float64

// measure is one run of one peer.
type measure func(context.Context, *fleet, locker) (values, error)

// cell measures the peers in turn, round after round, and returns a record for each of them.
func (b *bench) cell(ctx context.Context, c cell, peers []peer, m measure) ([]*record, error) {
	peers = b.taking(peers, c.instances)
	records := make([]*record, len(peers))
	for i, p := range peers {
		records[i] = &record{Peer: p.name, Instances: c.instances, Callers: c.callers}
	}
	for round := range b.rounds {
		for k := range peers {
			i := (k + round) % len(peers) // nobody always follows the same one
			v, err := b.once(ctx, c, peers[i], m)
			if err != nil {
				return nil, fmt.Errorf("%s, %d instances, %d callers: %w", peers[i].name, c.instances, c.callers, err)
			}
			records[i].Rounds = append(records[i].Rounds, v)
		}
	}
	for _, r := range records {
		r.settle()
	}
	fmt.Fprintf(b.progress, "%8v  %d instances, %d callers\n", time.Since(b.began).Round(time.Second), c.instances, c.callers)
	return records, nil
}

// taking returns those who take part.
func (b *bench) taking(peers []peer, instances int) []peer {
	var list []peer
	for _, p := range peers {
		if p.solo && instances > 1 || b.peers != nil && !b.peers.MatchString(p.name) {
			continue
		}
		list = append(list, p)
	}
	return list
}

// once is one run: servers of its own, one peer, one measurement.
func (b *bench) once(ctx context.Context, c cell, p peer, m measure) (v values, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	f, err := startFleet(ctx, c.instances, b.unix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	runtime.GC() // what the one before has left is not this one's work
	l, err := p.open(ctx, f)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return m(ctx, f, l)
}

// sleep sleeps for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
