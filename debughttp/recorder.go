package debughttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

const (
	// remembered is how many seconds the plots go back.
	remembered = 300
	// maxTrips is of how many instances the round trips are kept.
	maxTrips = 16
)

// Recorder keeps what its Trace has heard in the last five minutes, for the plots
// of the page. It takes a quarter of a megabyte, however much happens, and has no
// goroutine: a second begins when something happens in it. Make it with NewRecorder,
// one for each engine. Safe for concurrent use.
type Recorder struct {
	start time.Time

	mu    sync.Mutex
	ring  [remembered + 1]bucket // the second that is not over, and those before it
	named []string               // the instances that trips are to, in the order in which they were heard of
}

// bucket is what has happened in one second.
type bucket struct {
	second   int                   // since the start
	outcomes [len(outcomes)]uint32 // of acquires
	waits    histogram             // of those granted
	margin   time.Duration         // the least of a renewal that was confirmed; 0: there was none
	losses   uint32
	trips    [maxTrips]trips
}

// trips are the round trips to one instance.
type trips struct {
	sum   time.Duration
	count int64
}

// outcomes are the words of engine.Outcome.
var outcomes = [...]string{"granted", "held", "timeout", "canceled", "no_quorum", "refused", "closed", "failed"}

// outcomeOf is the place of an outcome's word. What is none of them has failed.
func outcomeOf(err error) int {
	if err == nil {
		return 0
	}
	if at := slices.Index(outcomes[:], engine.Outcome(err)); at > 0 {
		return at
	}
	return len(outcomes) - 1
}

// NewRecorder makes a Recorder that has heard nothing yet.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Handler is the package's Handler, with plots of what the Recorder has heard: its
// Trace must be in this engine's Config.
func (r *Recorder) Handler(e *engine.Engine) http.Handler { return newHandler(e, r) }

// Trace returns the Trace that records, for engine.Config; engine.JoinTraces puts several
// together.
func (r *Recorder) Trace() *engine.Trace {
	return &engine.Trace{
		Acquired: func(_ context.Context, a engine.AcquiredInfo) {
			outcome := outcomeOf(a.Err)
			b := r.lock()
			defer r.mu.Unlock()
			b.outcomes[outcome]++
			if a.Err == nil {
				b.waits.add(a.Waited)
			}
		},
		Renewed: func(info engine.RenewedInfo) {
			if !info.Confirmed {
				return
			}
			b := r.lock()
			defer r.mu.Unlock()
			if margin := max(1, info.Margin); b.margin == 0 || margin < b.margin {
				b.margin = margin
			}
		},
		Ended: func(e engine.EndedInfo) {
			if !errors.Is(e.Cause, lease.ErrLost) {
				return
			}
			b := r.lock()
			defer r.mu.Unlock()
			b.losses++
		},
		Pipeline: func(p engine.PipelineInfo) {
			b := r.lock()
			defer r.mu.Unlock()
			if at := r.indexOf(p.Instance); at < maxTrips {
				b.trips[at].sum += p.Took
				b.trips[at].count++
			}
		},
	}
}

// lock locks, and returns the bucket of this second.
func (r *Recorder) lock() *bucket {
	r.mu.Lock()
	second := r.second()
	b := &r.ring[second%len(r.ring)]
	if b.second != second {
		*b = bucket{second: second}
	}
	return b
}

// second is the one that is not over yet.
func (r *Recorder) second() int { return int(time.Since(r.start) / time.Second) }

// indexOf is that of an instance's trips; maxTrips: there is none left. Called with
// mu held.
func (r *Recorder) indexOf(name string) int {
	at := slices.Index(r.named, name)
	if at < 0 {
		if at = len(r.named); at < maxTrips {
			r.named = append(r.named, name)
		}
	}
	return at
}
