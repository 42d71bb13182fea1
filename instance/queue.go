package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Place is an engine's place in the queue of those that wait for a lock. The queue is at
// one instance. It is advice about who should ask next, and no more: a grant is a
// majority of votes, whoever asks. So it may be lost, and then costs time only.
//
// It is for the engine.
type Place struct {
	Name  string // which no other place has
	Key   string // the lock
	Order string // the key that has the places in their order
	Lives string // the key that has when each place ends, unless it is kept
	Bell  string // the key of this place, which goes when the place does
	To    PlaceCaster
}

// Standing is what an instance says of a place.
//
// It is for the engine.
type Standing struct {
	Kind   Kind          // Held: somebody has the lock; Free: nobody has; Granted: nor does anybody wait, and no place was taken; Gone: there is no such place any more; else what went wrong
	Before string        // the name of the place before it; "": it is the first
	First  string        // Free, with another before it: the name of the place that is the first; "": it was not said
	Left   time.Duration // for how long the lock is Held unless it is renewed; negative: for ever
	Err    error         // what went wrong
}

// PlaceCaster takes what becomes of a place, under the rules of Caster.
//
// It is for the engine.
type PlaceCaster interface {
	CastStanding(Standing)
}

// Enqueue takes the last place in the queue, for life. When the lock is free and nobody
// waits it takes none.
//
// It is for the engine.
type Enqueue struct {
	Place
	Life time.Duration // whole milliseconds
}

// MaxPlaces is how many places one KeepPlaces may have: a script call blocks the server
// while it runs.
//
// It is for the engine.
const MaxPlaces = 128

// KeepPlaces lets places live on, for life from now, many in one script call, and tells
// each of them where it stands.
//
// It is for the engine.
type KeepPlaces struct {
	Places []Place // 1 to MaxPlaces
	Life   time.Duration
}

// LeaveQueue gives up a place. Nobody waits for the answer: a place that is not given up
// ends with its life.
//
// It is for the engine.
type LeaveQueue struct{ Place }

func (q *Enqueue) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.Enqueue.AppendCall(out, 4, 2)
	out = q.appendKeys(out)
	out = resp.AppendArg(out, q.Name)
	return resp.AppendNumber(out, q.Life.Milliseconds()), true
}

func (p *Place) appendKeys(out []byte) []byte {
	for _, key := range [...]string{p.Key, p.Order, p.Lives, p.Bell} {
		out = resp.AppendArg(out, key)
	}
	return out
}

func (q *Enqueue) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && len(r.List) == 2 && r.List[0].Kind == resp.Text && r.List[1].Kind == resp.Number
}

func (q *Enqueue) readReply(_ *sending, r *resp.Reply) {
	s := standing(r.List[0].Text, r.List[1].N)
	if s.Kind == Gone {
		s.Kind = Granted
	}
	q.To.CastStanding(s)
}

// standing reads what both scripts reply of a place that is there.
func standing(before []byte, left int64) Standing {
	switch left {
	case -2:
		return Standing{Kind: Free, Before: string(before)}
	case -3:
		return Standing{Kind: Gone}
	}
	s := Standing{Kind: Held, Before: string(before), Left: -1}
	if left >= 0 {
		s.Left = clock.Units(left, time.Millisecond)
	}
	return s
}

func (q *Enqueue) refuse(v Vote) { q.To.CastStanding(Standing{Kind: v.Kind, Err: v.Err}) }

func (k *KeepPlaces) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	n := len(k.Places)
	out = scripts.KeepPlace.AppendCall(out, 4*n, 1+n)
	for i := range k.Places {
		out = k.Places[i].appendKeys(out)
	}
	out = resp.AppendNumber(out, k.Life.Milliseconds())
	for i := range k.Places {
		out = resp.AppendArg(out, k.Places[i].Name)
	}
	return out, true
}

func (k *KeepPlaces) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && len(r.List) == 3*len(k.Places)
}

func (k *KeepPlaces) readReply(sent *sending, r *resp.Reply) {
	for i := range k.Places {
		text, code, first := &r.List[3*i], &r.List[3*i+1], &r.List[3*i+2]
		switch {
		case text.Kind != resp.Text || code.Kind != resp.Number || first.Kind != resp.Text:
			k.Places[i].To.CastStanding(Standing{Kind: Refused, Err: resp.ErrNotRedis})
		case code.N == -4:
			v := sent.actor.classify(text.Err())
			k.Places[i].To.CastStanding(Standing{Kind: v.Kind, Err: v.Err})
		default:
			s := standing(text.Text, code.N)
			s.First = string(first.Text)
			k.Places[i].To.CastStanding(s)
		}
	}
}

func (k *KeepPlaces) refuse(v Vote) {
	for i := range k.Places {
		k.Places[i].To.CastStanding(Standing{Kind: v.Kind, Err: v.Err})
	}
}

func (l *LeaveQueue) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.LeaveQueue.AppendCall(out, 3, 1)
	for _, key := range [...]string{l.Order, l.Lives, l.Bell, l.Name} {
		out = resp.AppendArg(out, key)
	}
	return out, true
}

func (l *LeaveQueue) fits(r *resp.Reply) bool         { return r.Kind == resp.Number }
func (l *LeaveQueue) readReply(*sending, *resp.Reply) {}
func (l *LeaveQueue) refuse(Vote)                     {}

func (p *Place) about() (key, fenceKey string) { return p.Key, p.Order }

func (p *Place) debt() (debt, bool) { return debt{}, false }

func (k *KeepPlaces) debt() (debt, bool) { return debt{}, false }

// bySlot are the parts of it that are each about one slot.
func (k *KeepPlaces) bySlot() map[uint16]*KeepPlaces {
	parts := make(map[uint16]*KeepPlaces)
	for _, p := range k.Places {
		slot := slots.Of(p.Key)
		if parts[slot] == nil {
			parts[slot] = &KeepPlaces{Life: k.Life}
		}
		parts[slot].Places = append(parts[slot].Places, p)
	}
	return parts
}
