package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// distinct: how many locks a second, when nobody is in anybody's way?
var distinct = scenario{
	name:  "distinct",
	title: "every caller has a resource of its own; acquire and release",
	columns: []column{
		{"rate", "cycles/s", count},
		{"to redsync", "to redsync", ratio},
		{"to rueidislock", "to rueidislock", ratio},
		{"to floor", "to wire floor", ratio},
		{"here", "CPU here", duration},
		{"there", "CPU of servers", duration},
		{"at most", "at most", count},
		{"errors", "failed", count},
	},
	glance: rates,
	run:    runDistinct,
}

func runDistinct(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"\"N=3, 64\" is 3 instances and 64 callers. Medians of the rounds; a ratio is the median of the rounds' ratios. redislock",
		"and rueidislock know one instance only. etcd is a cluster of one member that has every lock on disk before it grants it.",
		"The wire floor does not lock: it sends the same messages, encoded beforehand, and counts replies. It hands them to a",
		"goroutine a server: a lone caller who writes by itself saves those hops. CPU is that of a cycle, here and of all servers",
		"together; at most so many cycles/s would be left if ours cost nothing, and servers took all CPUs.",
	}
	for _, n := range b.instances {
		for _, callers := range b.callers {
			records, err := b.cell(ctx, r, cell{n, callers, ""}, locks, here(func(ctx context.Context, f *fleet, l locker) (values, error) {
				return b.cyclesOf(ctx, f, ownResources(l, callers))
			}))
			if err != nil {
				return err
			}
			compare(records, "rate", redsyncDefault.name, "to redsync")
			compare(records, "rate", rueidislockPeer.name, "to rueidislock")
			compare(records, "rate", wireFloor.name, "to floor")
		}
	}
	return nil
}

// cyclesOf measures a load, and what it costs.
func (b *bench) cyclesOf(ctx context.Context, f *fleet, sessions []session) (values, error) {
	l := b.startLoad(ctx, sessions, untimed)
	sleep(ctx, b.warmup)
	usedHere, usedThere := cpu(), f.cpu()
	w := l.measure(ctx, b.window)
	usedHere, usedThere = cpu()-usedHere, f.cpu()-usedThere
	if err := errors.Join(l.stop(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	n := float64(w.cycles())
	v := values{"rate": w.rate(), "here": usedHere.Seconds() / n, "errors": float64(w.errors())}
	if usedThere > 0 { // where the system tells
		v["there"] = usedThere.Seconds() / n
		v["at most"] = float64(runtime.NumCPU()) / v["there"]
	}
	return v, nil
}

// rates is the same at a glance: a row a peer, a column a cell.
func rates(r *report) *table {
	t := &table{head: []string{"cycles/s"}, left: 1}
	var cells []cell
	for _, rec := range r.Records {
		if c := rec.cell(); !slices.Contains(cells, c) {
			cells = append(cells, c)
			t.head = append(t.head, fmt.Sprintf("N=%d, %d", c.instances, c.callers))
		}
	}
	for _, p := range locks {
		row := []string{p.name}
		measured := false
		for _, c := range cells {
			text := ""
			if rec := r.find(p.name, c); rec != nil {
				text, measured = rec.show(r.columns[0]), true
			}
			row = append(row, text)
		}
		if measured {
			t.rows = append(t.rows, row)
		}
	}
	return t
}
