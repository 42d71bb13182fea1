package promholdfast

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// Results of a renewal.
const (
	confirmed = "confirmed"
	failed    = "failed"
)

// Trace returns the Trace that counts. Put it into engine.Config.
func (m *Metrics) Trace() *engine.Trace {
	return &engine.Trace{
		Acquired: func(_ context.Context, _ string, waited time.Duration, rounds int, err error) {
			m.acquires.WithLabelValues(engine.Outcome(err)).Inc()
			m.rounds.Observe(float64(rounds))
			if err == nil {
				m.wait.Observe(waited.Seconds())
			}
		},
		Vote: func(name string, says instance.Kind) {
			m.votes.WithLabelValues(name, says.String()).Inc()
		},
		Woken: func(_ string, by engine.Waker, took time.Duration, granted bool) {
			if granted {
				m.handover.WithLabelValues(by.String()).Observe(took.Seconds())
			} else {
				m.vain.WithLabelValues(by.String()).Inc()
			}
		},
		Renewed: func(_ *lease.Lease, margin time.Duration, ok bool) {
			if ok {
				m.renewals.WithLabelValues(confirmed).Inc()
				m.margin.Observe(margin.Seconds())
			} else {
				m.renewals.WithLabelValues(failed).Inc()
			}
		},
		Ended: func(_ *lease.Lease, cause error, held time.Duration) {
			m.ended.WithLabelValues(engine.Cause(cause)).Inc()
			m.held.Observe(held.Seconds())
		},
		Instance: func(h instance.Health) {
			m.changes.WithLabelValues(h.Name, h.State.String()).Inc()
		},
		Pipeline: func(name string, messages int, took time.Duration) {
			m.trip.WithLabelValues(name).Observe(took.Seconds())
			m.batch.WithLabelValues(name).Observe(float64(messages))
		},
	}
}
