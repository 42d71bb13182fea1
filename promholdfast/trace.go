package promholdfast

import (
	"context"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// Results of a renewal.
const (
	confirmed = "confirmed"
	failed    = "failed"
)

// Trace returns the Trace that counts. Put it into engine.Config.
func (m *Metrics) Trace() *engine.Trace {
	return &engine.Trace{
		Acquired: func(_ context.Context, a engine.AcquiredInfo) {
			m.acquires.WithLabelValues(engine.Outcome(a.Err)).Inc()
			m.rounds.Observe(float64(a.Rounds))
			if a.Err == nil {
				m.wait.Observe(a.Waited.Seconds())
			}
		},
		Each: func(_ context.Context, each engine.EachInfo) {
			if each.Err != nil {
				m.acquires.WithLabelValues(engine.Outcome(each.Err)).Add(float64(each.Resources))
			}
			for k := range each.Results {
				m.acquires.WithLabelValues(engine.Outcome(each.Results[k].Err)).Inc()
			}
		},
		Vote: func(v engine.VoteInfo) {
			m.votes.WithLabelValues(v.Instance, v.Kind.String()).Inc()
		},
		Woken: func(w engine.WokenInfo) {
			if w.Granted {
				m.handover.WithLabelValues(w.By.String()).Observe(w.Took.Seconds())
			} else {
				m.vain.WithLabelValues(w.By.String()).Inc()
			}
		},
		Renewed: func(r engine.RenewedInfo) {
			if r.Confirmed {
				m.renewals.WithLabelValues(confirmed).Inc()
				m.margin.Observe(r.Margin.Seconds())
			} else {
				m.renewals.WithLabelValues(failed).Inc()
			}
		},
		Ended: func(e engine.EndedInfo) {
			m.ended.WithLabelValues(engine.Cause(e.Cause)).Inc()
			m.held.Observe(e.Held.Seconds())
		},
		Instance: func(h instance.Health) {
			m.changes.WithLabelValues(h.Name, h.State.String()).Inc()
		},
		Pipeline: func(p engine.PipelineInfo) {
			m.trip.WithLabelValues(p.Instance).Observe(p.Took.Seconds())
			m.batch.WithLabelValues(p.Instance).Observe(float64(p.Messages))
		},
	}
}
