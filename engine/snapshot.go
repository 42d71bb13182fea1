package engine

import (
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// Snapshot is what an engine is doing at a moment, for people and for metrics. It
// has no whole token.
type Snapshot struct {
	At        time.Time
	Owner     string            // Config.Owner
	Instances []instance.Health // in the engine's order

	Held    int    // leases; one of several resources is one
	Leases  []Held // some of them, in no order
	Leading int    // of the leases: those that a Campaign has won

	Waiting int    // acquires that wait or are just asking
	Lines   []Line // some of the resources that they are for, in no order
	Places  int    // in queues of the instances, where other engines stand, too: one for each resource
	First   int    // of these places: nobody stands before them

	Lost    uint64 // leases that ended unreleased, since the engine was made
	Losses  []End  // the most recent of them, the newest first
	Ends    []End  // the most recent of the leases that have ended, lost or not, the newest first
	Dropped uint64 // losses that were dropped because nobody read Lost
	Untold  Untold // lines of the log and calls of the Trace that were dropped
}

// Held is a lease that the engine holds.
type Held struct {
	Resource  string        // of several, the first
	More      int           // of several: how many besides
	Slots     []int         // of permits: which
	Shared    bool          // others may hold it as well
	Holder    string        // its token, abbreviated: the owner is in front. With LocalHandoff Redis has another
	Fence     uint64        // 0: none
	Since     time.Time     // when the attempt began that was granted
	Remaining time.Duration // of its validity
	Renewed   bool          // whether it is renewed in the background
	Renewals  int           // confirmed so far; counted up to 65535
}

// Line is the acquires in this engine for one resource.
type Line struct {
	Resource string
	Waiting  int // with the first, which may be asking; 1 or more
}

// Snapshot returns what the engine is doing. limit is how many of the leases, the
// lines, the losses and the ends are listed each, and at most 64 of the last two; with 0
// there are only the numbers and the instances. Everything in it was so at some
// moment during the call, not all of it at the same one.
//
// It costs a microsecond or two and another for each thing listed, however many
// leases are held, and holds up nobody for longer than it takes to copy limit
// pointers. Safe for concurrent use, also after Close.
func (e *Engine) Snapshot(limit int) Snapshot {
	limit = max(0, limit)
	s := Snapshot{At: time.Now(), Owner: e.cfg.Owner, Instances: e.Instances(), Held: max(0, e.keeper.Len()-int(e.keptLocks.Load())), Dropped: e.keeper.Dropped()}
	s.Leases = e.someHeld(limit)
	s.Leading = int(e.leading.Load())
	s.Waiting, s.Lines = e.lines.some(limit)
	s.Places, s.First = e.queues.count()
	s.Lost, s.Losses = e.losses.latest(limit)
	_, s.Ends = e.ends.latest(limit)
	s.Untold = e.telling.untold()
	return s
}

func (e *Engine) someHeld(limit int) (held []Held) {
	for _, entry := range e.keeper.Some(limit) {
		h := holdingOf(entry.Entry)
		l := h.lease()
		if remaining := l.Remaining(); remaining > 0 && !h.kept {
			held = append(held, Held{
				Resource: l.Resource(), More: len(l.Resources()) - 1, Slots: l.Slots(), Shared: l.Shared(), Holder: instance.Abbreviate(l.Token()), Fence: l.Fence(),
				Since: h.since, Remaining: remaining, Renewed: entry.RenewEvery > 0, Renewals: entry.Renewals,
			})
		}
	}
	return held
}

// some returns how many wait, and some of the lines.
func (l *lines) some(limit int) (waiting int, some []Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for resource, head := range l.heads {
		if len(some) == limit {
			break
		}
		some = append(some, Line{resource, head.length})
	}
	return l.waiting, some
}
