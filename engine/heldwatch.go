package engine

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// heldWatch watches the lock of one lease, at all instances: any quorum of them may lose it, in any
// order. Each loss of one begins a check.
type heldWatch struct {
	noticed atomic.Bool // the lease was lost to a question that was asked because a server told

	mu   sync.Mutex // over beginning and ending
	over bool
	at   []tracking.Held // by instance, once for each resource
}

// beginWatch watches the lock from now on. It is called before the lease is in care.
func (h *holding) beginWatch() {
	n := len(h.engine.instances)
	w := &heldWatch{at: make([]tracking.Held, n*h.locks())}
	tell := func() { h.engine.keeper.Check(&h.entry) }
	for k := range w.at {
		s := &w.at[k]
		s.Key, s.Token, s.Often, s.Tell = h.key, h.shown(), h.entry.RenewEvery, tell
		if keys := h.several(); keys != nil {
			s.Key = keys[k/n]
		}
	}
	h.watch = w
	w.refresh(h.engine.instances, false)
}

// refresh sees to it that the lock is watched, in a cluster where the key is now. renews says that it is about to be
// renewed. w may be nil.
func (w *heldWatch) refresh(instances []*instance.Instance, renews bool) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	for k := range w.at {
		instances[k%len(instances)].WatchHeld(&w.at[k])
		if renews {
			w.at[k].Expect()
		}
	}
}

// end watches no longer. w may be nil.
func (w *heldWatch) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for k := range w.at {
		w.at[k].LeaveHeld()
	}
}

// hasNoticed says for the log how a loss was noticed.
func (w *heldWatch) hasNoticed() string {
	if w != nil && w.noticed.Load() {
		return "a server told"
	}
	return "by renewing"
}
