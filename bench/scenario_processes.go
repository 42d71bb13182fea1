package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// processes: what becomes of callers in several processes who all want the same?
var processes = scenario{
	name:  "processes",
	title: "4 processes with 4 callers each on one resource; each releases at once and wants it again",
	columns: []column{
		{"rate", "grants/s", count},
		{"to redsync", "to redsync", ratio},
		{"mean", "mean wait", duration},
		{"p99", "p99 wait", duration},
		{"p99 to mean", "p99/mean", ratio},
		{"max", "longest wait", duration},
		{"least", "least share", ratio},
		{"overlaps", "held twice", count},
		{"errors", "gave up", count},
	},
	run: runProcesses,
}

func runProcesses(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"\"least share\" is the grants of the caller who got fewest, to the mean of all callers. Waits that the window's end cut off",
		"count as long as they had lasted. \"held twice\" is counted from what all 16 noted, by a clock that they share. handoff is",
		"Config.LocalHandoff 64.",
	}
	place := cell{instances: 3, callers: 16}
	records, err := b.cell(ctx, r, place, []peer{holdfast, holdfastHandoff, redsyncWaiting}, b.crowd)
	compare(records, "rate", redsyncWaiting.name, "to redsync")
	return err
}

// crowd is one run of 4 processes with 4 callers each.
func (b *bench) crowd(ctx context.Context, f *fleet, p peer) (v values, err error) {
	children, err := startChildren(ctx, "", 4, p, f, slices.Repeat([]string{"order"}, 4))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopChildren(children)) }()
	for _, c := range children {
		if err := c.tell(order{Do: toLoad, Session: nobody, Warmup: b.warmup, For: b.processes}); err != nil {
			return nil, err
		}
	}
	var all stretch
	for _, c := range children {
		a, err := c.hear(ctx, nobody)
		if err != nil || a.Err != "" {
			return nil, errors.Join(err, a.failure())
		}
		all.add(a.Stretch)
	}
	return all.values(), nil
}

// add makes one stretch of two of the same time.
func (s *stretch) add(other *stretch) {
	s.Rate += other.Rate
	s.Errors += other.Errors
	s.Cycles = append(s.Cycles, other.Cycles...)
	s.Waits = append(s.Waits, other.Waits...)
	s.Tenures = append(s.Tenures, other.Tenures...)
}

func (s *stretch) values() values {
	slices.Sort(s.Waits)
	average, p99 := mean(s.Waits), percentile(s.Waits, 0.99)
	total := 0
	for _, n := range s.Cycles {
		total += n
	}
	return values{
		"rate":        s.Rate,
		"mean":        average,
		"p99":         p99,
		"p99 to mean": p99 / average,
		"max":         percentile(s.Waits, 1),
		"least":       float64(slices.Min(s.Cycles)) * float64(len(s.Cycles)) / float64(total),
		"overlaps":    float64(overlaps(s.Tenures)),
		"errors":      float64(s.Errors),
	}
}

// overlaps counts the tenures that began before an earlier one had ended.
func overlaps(tenures []tenure) (n int) {
	slices.SortFunc(tenures, func(a, b tenure) int { return cmp.Compare(a.From, b.From) })
	var end int64
	for _, t := range tenures {
		if t.From < end {
			n++
		}
		end = max(end, t.To)
	}
	return n
}
