package main

import (
	"context"

	"github.com/holdfast-go/holdfast/engine"
)

// cohort: what is it worth to hand a lock on within the engine?
var cohort = scenario{
	name:    "cohort",
	title:   "16 callers of one engine on one resource, which is handed on without a round trip",
	columns: contention,
	run: func(ctx context.Context, b *bench, r *report) error {
		r.Notes = []string{"Holdfast with Config.LocalHandoff 64: at most 64 times in a row without asking Redis. Otherwise as in contended, N=3."}
		_, err := b.contend(ctx, r, 3, []peer{holdfastCohort, redsyncWaiting})
		return err
	},
}

var holdfastCohort = holdfastPeer("holdfast", engine.Config{LocalHandoff: 64})
