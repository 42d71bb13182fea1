package holdfasttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

// Event is one thing that happened to a resource.
type Event struct {
	At       time.Time
	Engine   *engine.Engine
	Resource string
	Kind     Kind
	Err      error // Refused: what Acquire returned; Ended: the cause, as lease.Lease.Err has it
}

// Kind says what happened.
type Kind uint8

const (
	Acquired Kind = iota // an acquire was granted
	Refused              // an acquire returned an error
	Ended                // a lease was released, or lost
)

func (k Kind) String() string {
	names := [...]string{"acquired", "refused", "ended"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// String is one line, such as "report ended: lease released".
func (e Event) String() string {
	if e.Err == nil {
		return fmt.Sprintf("%s %v", e.Resource, e.Kind)
	}
	return fmt.Sprintf("%s %v: %v", e.Resource, e.Kind, e.Err)
}

// Events returns the events so far, in order. An engine tells of a lease's end a
// little after its Done was closed: wait for it with synctest.Wait, or ask again.
func (r *Redis) Events() []Event {
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	return slices.Clone(r.record.events)
}

// record has the engines, and what they told.
type record struct {
	mu        sync.Mutex
	processes []*process
	events    []Event
}

func (r *record) join(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes = append(r.processes, p)
}

func (r *record) all() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.processes)
}

func (r *record) note(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Now()
	r.events = append(r.events, e)
}

func (r *record) trace(p *process) *engine.Trace {
	return &engine.Trace{
		Acquired: func(_ context.Context, a engine.AcquiredInfo) {
			kind := Acquired
			if a.Err != nil {
				kind = Refused
			}
			r.note(Event{Engine: p.engine, Resource: a.Resource, Kind: kind, Err: a.Err})
		},
		Ended: func(e engine.EndedInfo) {
			r.note(Event{Engine: p.engine, Resource: e.Lease.Resource(), Kind: Ended, Err: e.Cause})
		},
	}
}
