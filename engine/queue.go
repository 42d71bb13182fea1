package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/pace"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// The engines that wait for a resource stand in a queue, at the resource's arbiter. Each
// has one place, however many of its goroutines wait, and watches the bell of the place
// before its own: a key that goes when that place is given up. The first watches the lock.
// So a release wakes one engine, whatever their number, and they are served in the order in
// which they came.
//
// A place is given up when its engine releases the lock, or waits no longer. While the
// engine waits it keeps its place, every now and then, with all others that it has at that
// instance, and learns where it stands: the places before it may have ended, and the lock
// may be free although nobody told. A place that nobody keeps ends with its life: that is
// what an engine that died costs the others.
//
// The queue has no say in who holds the lock. It is advice about who should ask next. So
// it may be lost, or be two, at two arbiters, and an engine without the rights to it, or of
// another kind, asks when it likes.
const (
	placeLife = 3 * time.Second        // how long a place lives that nobody keeps
	keepEvery = 700 * time.Millisecond // how often a place is kept, at the latest
	// keepSlack is how much earlier a place may be kept, for the sake of a larger batch.
	keepSlack = keepEvery / 4
	// keepNew is when a new place is kept first, at the latest. Most have had their turn by then. It is half its life or more, so
	// that the life of its bell is prolonged then, and ends with its own.
	keepNew = placeLife/2 + keepSlack
	// allAskedEvery is the pace at which those who are the first ask all instances although nobody has told them, of which
	// allAskedBurst may do so at once: where thousands wait, it is each one's turn less often.
	allAskedEvery = 64 * time.Millisecond
	allAskedBurst = 64
	// triedAgain is how long it takes until an instance is asked for a queue again that has refused it.
	triedAgain = time.Minute
	// turnLength is how long an engine may serve its own waiters in one turn: those who stood in line
	// when it began.
	turnLength = 10 * time.Millisecond
)

// place is an engine's place in one queue. It is the request's that waits, and then the holding's.
type place struct {
	instance.Place
	queues *queues
	at     int           // the instance that has the queue
	heard  chan struct{} // one slot: the standing has been told

	mu       sync.Mutex
	standing instance.Standing // Unanswered: it has not been told since it was asked for
	due      time.Time         // when it is to be kept; the queues' own

	began time.Time // of the turn; the holding's own, as the next
	left  int       // how many more may be served in it
}

// CastStanding takes what the instance says of the place.
func (p *place) CastStanding(s instance.Standing) {
	p.mu.Lock()
	p.standing = s
	p.mu.Unlock()
	p.queues.located(p, s)
	select {
	case p.heard <- struct{}{}:
	default: // it has been told and not yet looked
	}
}

func (p *place) look() instance.Standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing
}

func (p *place) forget() {
	p.mu.Lock()
	p.standing = instance.Standing{}
	p.mu.Unlock()
}

// queues are the places that an engine keeps, all those in which it waits.
type queues struct {
	engine  *Engine
	refused atomic.Int64 // when an instance last refused it, in Unix ns; 0: never

	mu      sync.Mutex
	places  map[*place]position
	counts  [inFront + 1]int // how many are kept in each position
	pace    pace.Pace        // of asking all though nobody has told
	running bool             // keepPlaces
	loop    sync.WaitGroup
}

func newQueues(e *Engine) *queues { return &queues{engine: e, places: make(map[*place]position)} }

// enter takes the last place in the queue for a resource, whose first watches that lock. What comes of it is told to the place.
func (q *queues) enter(key, lock string, at int) *place {
	e := q.engine
	p := &place{queues: q, at: at, heard: make(chan struct{}, 1)}
	p.Place = instance.Place{Name: e.tokens.placeName(), Key: lock, To: p}
	p.Order, p.Lives = queueKeys(e.cfg.KeyPrefix, key)
	p.Bell = q.bell(key, p.Name)
	q.keepPlace(p, keepNew)
	e.instances[at].Post(&instance.Enqueue{Place: p.Place, Life: placeLife})
	return p
}

// queueKeys are the keys that the queue for a lock has, but for its bells.
func queueKeys(prefix, key string) (order, lives string) {
	return slots.Beside(prefix, slots.Queue, key), slots.Beside(prefix, slots.QueueLives, key)
}

// bell is the key that the place of this name has.
func (q *queues) bell(key, name string) string {
	return slots.Beside(q.engine.cfg.KeyPrefix, slots.QueueBell+name, key)
}

// ask has the instance say where the place stands.
func (q *queues) ask(p *place) {
	p.forget()
	q.engine.instances[p.at].Post(&instance.KeepPlaces{Places: []instance.Place{p.Place}, Life: placeLife})
}

// leave gives up a place.
func (q *queues) leave(p *place) {
	q.drop(p)
	q.engine.instances[p.at].Post(&instance.LeaveQueue{Place: p.Place})
}

// mayAskAll reports whether one that nobody has told anything may ask all instances now.
func (q *queues) mayAskAll(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pace.Next(allAskedEvery, allAskedBurst).After(now) {
		return false
	}
	q.pace.Take(allAskedEvery, now)
	return true
}

// supported reports whether no instance has refused to have a queue lately.
func (q *queues) supported(now time.Time) bool {
	at := q.refused.Load()
	return at == 0 || now.Sub(time.Unix(0, at)) > triedAgain
}

// unsupported notes that an instance refuses to have a queue, and says so in the log once.
func (q *queues) unsupported(p *place, why error, now time.Time) {
	if q.refused.Swap(now.UnixNano()) == 0 {
		q.engine.log.Warn("waiters are not served in turn", "instance", q.engine.instances[p.at].Name(), "reason", why)
	}
}

// hasTurn reports whether the turn of a place goes on: one more of those that stood in line
// when it began is to be served. Where the lock is handed on as it is, which costs Redis nothing,
// it is a shorter time, for all.
func (p *place) hasTurn(now time.Time, trip time.Duration, handedOn bool) bool {
	length, all := turnLength, p.left > 0
	if handedOn {
		length, all = handoffQuantum, true
	}
	return all && now.Sub(p.began) < max(length, turnTrips*trip)
}

// heard is told when the instance has said where the place stands.
func (r *request) heard() <-chan struct{} {
	if r.place == nil {
		return nil
	}
	return r.place.heard
}

// lock is the key that whoever is the first in the queue watches: the lock, or the bell of the permits, of which no one lock
// stands in the way.
func (r *request) lock() string {
	if r.permits != nil {
		return r.permits.pool.bell
	}
	return r.key
}

// inherit takes the place in the queue that the one before in line has left, if it is for the same.
func (r *request) inherit(e *Engine, w *waiter) {
	p := e.lines.inherit(w)
	if p != nil && p.Key != r.lock() {
		e.queues.leave(p)
		p = nil
	}
	r.place = p
}

// takePlace takes the place of the one that has released the lock. What c had itself is left to
// the next in line.
func (c *waitLoop) takePlace(p *place) {
	if p == nil {
		return
	}
	if c.request.place != nil {
		c.engine.lines.bequeath(c.waiter, c.request.place)
	}
	c.request.place = p
}
