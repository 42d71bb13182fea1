package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// mixed: is everybody served where processes of all kinds want the same?
var mixed = scenario{
	name:  "mixed",
	title: "engines of this version and of the one before, redsync, and callers who only try: each a process of its own, all on one resource",
	columns: []column{
		{"processes", "processes", count},
		{"rate", "grants/s", count},
		{"least", "least share", ratio},
		{"longest", "longest without it", duration},
		{"overlaps", "held twice", count},
		{"errors", "gave up", count},
	},
	run: runMixed,
}

// mixing is how many processes of this version there are, and how long they contend. There are as many of the version
// before, and half as many of each other kind.
type mixing struct {
	engines int
	lasts   time.Duration
}

// kind is some processes of a mixed fleet that are alike.
type kind struct {
	name    string
	peer    peer   // what each of them opens
	program string // which program they are; "": this one
	n       int
}

const holdfastBefore = "holdfast, before"

// kinds are all of them. remove removes what was built for them.
func (b *bench) kinds(ctx context.Context) (kinds []kind, remove func(), err error) {
	kinds = []kind{
		{name: holdfast.name, peer: holdfast, n: b.mixing.engines},
		{name: redsyncWaiting.name, peer: redsyncWaiting, n: b.mixing.engines / 2},
		{name: holdfastTrying.name, peer: holdfastTrying, n: b.mixing.engines / 2},
	}
	program, remove, err := buildBefore(ctx)
	switch {
	case errors.Is(err, errNoHistory):
		b.miss(fmt.Sprintf("%s is left out: %v.", holdfastBefore, err))
		return kinds, func() {}, nil
	case err != nil:
		return nil, nil, err
	}
	return append(kinds, kind{holdfastBefore, holdfast, program, b.mixing.engines}), remove, nil
}

func runMixed(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"All contend at once; each releases at once and wants it again. \"longest without it\" is that of the process that went",
		"without a grant for longest, from the beginning to the end; \"least share\" is the grants of the one that got fewest, to",
		"the mean of its kind; \"held twice\" is counted over all. The version before is the last one without a queue.",
	}
	if len(b.taking([]peer{holdfast}, 1)) == 0 {
		return nil
	}
	kinds, remove, err := b.kinds(ctx)
	if err != nil {
		return err
	}
	defer remove()
	for _, n := range []int{1, 3} {
		records := make([]*record, len(kinds))
		for i, k := range kinds {
			records[i] = &record{Peer: k.name, Instances: n, Callers: k.n}
		}
		for range b.rounds {
			all, err := b.mix(ctx, n, kinds)
			if err != nil {
				return err
			}
			for i, v := range all {
				records[i].Rounds = append(records[i].Rounds, v)
			}
		}
		for _, rec := range records {
			rec.settle()
		}
		r.Records = append(r.Records, records...)
		b.say("  %s: N=%d", r.Name, n)
	}
	return nil
}

// mix is one run of all kinds on n servers. It returns what each kind got.
func (b *bench) mix(ctx context.Context, n int, kinds []kind) (all []values, err error) {
	f, err := startFleet(ctx, redisServer, n, b.unix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	var fleet []*child
	defer func() { err = errors.Join(err, stopChildren(fleet)) }()
	for _, k := range kinds {
		children, err := startChildren(ctx, k.program, k.n, k.peer, f, []string{"order"})
		if err != nil {
			return nil, err
		}
		fleet = append(fleet, children...)
	}
	for _, c := range fleet {
		if err := c.tell(order{Do: toLoad, Session: nobody, Warmup: b.warmup, For: b.mixing.lasts}); err != nil {
			return nil, err
		}
	}
	got := make([]*stretch, len(fleet))
	for i, c := range fleet {
		a, err := c.hear(ctx, nobody)
		if err != nil || a.Err != "" {
			return nil, errors.Join(err, a.failure())
		}
		got[i] = a.Stretch
	}
	return sortOut(kinds, got), nil
}

// sortOut says what each kind got, of what each process did.
func sortOut(kinds []kind, got []*stretch) (all []values) {
	var whole stretch
	for _, s := range got {
		whole.add(s)
	}
	twice := overlaps(whole.Tenures) // which sorts them
	begin, end := whole.Tenures[0].From, whole.Tenures[len(whole.Tenures)-1].To
	for _, k := range kinds {
		var of stretch
		var longest time.Duration
		for _, s := range got[:k.n] {
			of.add(s)
			longest = max(longest, s.without(begin, end))
		}
		got = got[k.n:]
		v := of.values()
		all = append(all, values{
			"processes": float64(k.n), "rate": of.Rate, "least": v["least"], "longest": longest.Seconds(),
			"overlaps": float64(twice), "errors": float64(of.Errors),
		})
	}
	return all
}

// without is for how long at most nothing was held, between two times.
func (s *stretch) without(begin, end int64) time.Duration {
	tenures := slices.SortedFunc(slices.Values(s.Tenures), func(a, b tenure) int { return int(a.From - b.From) })
	longest, last := int64(0), begin
	for _, t := range tenures {
		longest, last = max(longest, t.From-last), t.To
	}
	return time.Duration(max(longest, end-last))
}
