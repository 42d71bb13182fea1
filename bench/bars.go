package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// bar is what one of Holdfast's values is to reach.
type bar struct {
	scenario string
	at       cell
	key      string
	is       relation
	limit    float64
	by       string // whose value; "" is that of Holdfast as it is without options
}

type relation string

const (
	atLeast relation = "≥"
	atMost  relation = "≤"
)

// bars are all of them, in the order of the scenarios.
var bars = []bar{
	{"distinct", cell{3, 512, ""}, "to redsync", atLeast, 20, ""},
	{"distinct", cell{5, 512, ""}, "to redsync", atLeast, 20, ""},
	{"distinct", cell{3, 512, ""}, "to floor", atLeast, 0.75, ""},
	{"distinct", cell{5, 512, ""}, "to floor", atLeast, 0.75, ""},
	{"distinct", cell{5, 64, ""}, "to redsync", atLeast, 15, ""},
	{"distinct", cell{1, 64, ""}, "to rueidislock", atLeast, 1.5, ""},

	{"latency", cell{1, 1, ""}, "p50 to a", atMost, 1.1, ""},
	{"latency", cell{3, 1, ""}, "p50 to b", atMost, 1.1, ""},
	{"latency", cell{5, 1, ""}, "p50 to b", atMost, 1.1, ""},
	{"latency", cell{1, 1, ""}, "to redislock", atMost, 1, ""},

	{"delay", cell{3, 64, "2ms"}, "p50 to trip", atMost, 1.3, ""},

	{"stopped", cell{3, 64, ""}, "rate kept", atLeast, 0.9, ""},
	{"stopped", cell{3, 64, ""}, "to two", atLeast, 0.9, ""},
	{"stopped", cell{3, 64, ""}, "p99 kept", atMost, 1.5, ""},
	{"stopped", cell{3, 64, ""}, "goroutines kept", atMost, 1.05, ""}, // flat, but for what comes and goes

	{"cohort", cell{3, 16, ""}, "to redsync", atLeast, 50, ""},

	{"handover", cell{1, 8, ""}, "p50", atMost, 0.001, ""},
	{"handover", cell{1, 8, ""}, "p99", atMost, 0.005, ""},
	{"handover", cell{1, 8, ""}, "to rueidislock", atMost, 1, ""},
	{"handover", cell{3, 8, ""}, "p50", atMost, 0.001, ""},
	{"handover", cell{3, 8, ""}, "p99", atMost, 0.005, ""},

	{"processes", cell{3, 16, ""}, "to redsync", atLeast, 5, ""},
	{"processes", cell{3, 16, ""}, "p99 to mean", atMost, 3, ""},
	{"processes", cell{3, 16, ""}, "least", atLeast, 0.5, ""},
	{"processes", cell{3, 16, ""}, "overlaps", atMost, 0, ""},
	{"processes", cell{3, 16, ""}, "to redsync", atLeast, 5, holdfastHandoff.name},
	{"processes", cell{3, 16, ""}, "p99 to mean", atMost, 3, holdfastHandoff.name},
	{"processes", cell{3, 16, ""}, "least", atLeast, 0.5, holdfastHandoff.name},
	{"processes", cell{3, 16, ""}, "overlaps", atMost, 0, holdfastHandoff.name},

	{"idle", cell{1, 1000, ""}, "sent", atMost, 100, ""},
	{"idle", cell{3, 1000, ""}, "sent", atMost, 100, ""},
	{"idle", cell{1, 1000, "small table"}, "sent", atMost, 200, ""},
	{"fleet", cell{3, 1000, ""}, "heap", atMost, 100, ""},
	{"fleet", cell{3, 1000, ""}, "goroutines", atMost, 10, ""},
	{"fleet", cell{3, 1000, ""}, "server", atMost, 0.01, ""},
	{"fleet", cell{3, 1000, ""}, "back", atMost, 5, ""},
	{"crowd", cell{1, 128, ""}, "to two", atLeast, 0.9, ""},
	{"crowd", cell{3, 128, ""}, "to two", atLeast, 0.9, ""},
	{"crowd", cell{1, 128, ""}, "to redsync", atLeast, 2, ""},
	{"crowd", cell{3, 128, ""}, "to redsync", atLeast, 2, ""},
	{"crowd", cell{3, 512, ""}, "to two", atLeast, 0.8, ""},
	{"crowd", cell{1, 128, ""}, "commands", atMost, 20, ""},
	{"crowd", cell{3, 128, ""}, "commands", atMost, 30, ""},
	{"crowd", cell{1, 128, ""}, "p99 to turn", atMost, 1.5, ""},
	{"crowd", cell{3, 128, ""}, "p99 to turn", atMost, 1.5, ""},
	{"crowd", cell{1, 128, ""}, "max to turn", atMost, 2, ""},
	{"crowd", cell{3, 128, ""}, "max to turn", atMost, 2, ""},
	{"crowd", cell{1, 128, ""}, "least", atLeast, 0.8, ""},
	{"crowd", cell{3, 128, ""}, "least", atLeast, 0.8, ""},

	{"mixed", cell{1, 8, ""}, "longest", atMost, 5, ""},
	{"mixed", cell{1, 8, ""}, "longest", atMost, 5, holdfastBefore},
	{"mixed", cell{1, 4, ""}, "longest", atMost, 5, redsyncWaiting.name},
	{"mixed", cell{1, 4, ""}, "longest", atMost, 5, holdfastTrying.name},
	{"mixed", cell{3, 8, ""}, "longest", atMost, 5, ""},
	{"mixed", cell{3, 8, ""}, "longest", atMost, 5, holdfastBefore},
	{"mixed", cell{3, 4, ""}, "longest", atMost, 5, redsyncWaiting.name},
	{"mixed", cell{3, 4, ""}, "longest", atMost, 5, holdfastTrying.name},

	{"fencing", cell{1, 64, ""}, "kept", atLeast, 0.6, holdfastFencing.name},
	{"fencing", cell{3, 1, ""}, "kept", atLeast, 0.95, holdfastFencing.name},
	{"fencing", cell{3, 64, ""}, "kept", atLeast, 0.75, holdfastFencing.name},
	{"fencing", cell{3, 512, ""}, "kept", atLeast, 0.7, holdfastFencing.name},
	{"fencing", cell{3, 64, ""}, "there more", atMost, 1.4, holdfastFencing.name},
	{"fencing", cell{3, 64, alone}, "there more", atMost, 2.2, holdfastFencing.name},

	{"releases", cell{3, 512, ""}, "to script", atLeast, 1.25, ""}, // with -server: Valkey 9.1, Redis 8.6
	{"releases", cell{3, 512, ""}, "there more", atMost, 0.75, ""},

	{"each", cell{3, batchSize, ""}, "to floor", atLeast, 0.75, holdfastEach.name},
	{"each", cell{3, batchSize, ""}, "to callers", atLeast, 2.5, holdfastEach.name},
	{"each", cell{3, batchSize, ""}, "allocs", atMost, 2, holdfastEach.name},

	{"beside", cell{3, 1, ""}, "max", atMost, 0.005, ""},
	{"beside", cell{3, 1, ""}, "max", atMost, 0.005, holdfastOther.name},

	{"several", cell{3, 1, ""}, "p50 more", atMost, 1.5, holdfastAll.name},
	{"several", cell{1, 64, alone}, "there more", atMost, 4.5, holdfastAll.name},
	{"several", cell{3, 64, alone}, "there more", atMost, 4.5, holdfastAll.name},

	{"shared", cell{1, 64, alone}, "there more", atMost, 4, holdfastShared.name},
	{"shared", cell{3, 64, alone}, "there more", atMost, 4, holdfastShared.name},
	{"readers", cell{3, readingEngines * readersEach, ""}, "holds", atMost, 10, holdfastReaders.name},

	{"allocs", cell{3, 1, ""}, "allocs", atMost, 10, ""},
	{"allocs", cell{3, 64, ""}, "allocs", atMost, 10, ""},

	{"held", cell{3, acquirers, "100,000 leases"}, "cpu", atMost, 0.10, ""},
	{"held", cell{3, acquirers, "100,000 leases"}, "heap each", atMost, 600, ""},
	{"held", cell{3, acquirers, "100,000 leases"}, "lost", atMost, 0, ""},
	{"held", cell{3, acquirers, "100,000 leases"}, "unbacked", atMost, 0, ""},
	{"held", cell{1, acquirers, "1,000,000 leases"}, "lost", atMost, 0, ""},
	{"held", cell{1, acquirers, "1,000,000 leases"}, "unbacked", atMost, 0, ""},

	{"lost", cell{1, 10_000, ""}, "p99", atMost, 0.050, holdfastWatched.name},
	{"lost", cell{3, 10_000, ""}, "p99", atMost, 0.050, holdfastWatched.name},
}

// verdict is what became of a bar.
type verdict struct {
	Scenario string  `json:"scenario"`
	Where    string  `json:"where"`
	Bar      string  `json:"bar"`
	Shown    string  `json:"shown"` // the value, as the table has it
	Measured float64 `json:"measured"`
	Met      bool    `json:"met"`
}

// judge holds the reports against the bars. What was not measured is not judged.
func judge(reports []*report) []*verdict {
	var list []*verdict
	for _, b := range bars {
		i := slices.IndexFunc(reports, func(r *report) bool { return r.Name == b.scenario })
		if i < 0 {
			continue
		}
		rec := reports[i].find(cmp.Or(b.by, holdfast.name), b.at)
		if rec == nil {
			continue
		}
		v, ok := rec.Median[b.key]
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		column := reports[i].column(b.key)
		list = append(list, &verdict{
			Scenario: b.scenario,
			Where:    b.where(),
			Bar:      fmt.Sprintf("%s %s %s", column.head, b.is, column.show(b.limit)),
			Shown:    column.show(v),
			Measured: v,
			Met:      b.metBy(v),
		})
	}
	return list
}

func (b bar) where() string {
	if b.by == "" {
		return b.at.String()
	}
	return b.at.String() + ": " + b.by
}

func (b bar) metBy(v float64) bool {
	if b.is == atLeast {
		return v >= b.limit
	}
	return v <= b.limit
}

// printBars prints the last table of all.
func printBars(w io.Writer, markdown bool, list []*verdict) {
	if len(list) == 0 {
		return
	}
	heading(w, markdown, "bars: what is to be reached, by Holdfast")
	t := &table{head: []string{"scenario", "where", "bar", "met", "measured"}, left: 4}
	for _, v := range list {
		met := "no"
		if v.Met {
			met = "yes"
		}
		t.rows = append(t.rows, []string{v.Scenario, v.Where, v.Bar, met, v.Shown})
	}
	t.print(w, markdown)
}
