package instance

import (
	"net"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Vigil is one wait for a lock to become free, at one instance: see Watch. It
// may be used again after Unwatch.
type Vigil struct {
	Key string

	// C is sent to, without blocking, when the lock may have become free: it was
	// released, deleted, renewed or overwritten, by whomever, it was free already,
	// or the instance cannot tell any more. Whoever receives must look for itself,
	// and Watch again to be told again. It has one slot.
	C chan struct{}

	armed bool      // the server has promised to tell; guarded by vigils.mu
	until time.Time // when the lock expires, as far as the server knows; zero: never
	at    *vigils   // where it is kept; nil: nowhere
}

// NewVigil makes a vigil for a key.
func NewVigil(key string) *Vigil { return &Vigil{Key: key, C: make(chan struct{}, 1)} }

// Outlook is what the owner of a Vigil may expect.
type Outlook uint8

const (
	Silent   Outlook = iota // nothing: the owner had better look for itself from time to time
	Asked                   // the server is being asked; that takes no longer than a few of the instance's timeouts
	Promised                // the server will tell when the lock changes
)

// Outlook returns what may be expected, and when the lock expires if nobody renews
// it; zero is never or unknown. An expiry itself is no change that the server
// tells in time.
func (v *Vigil) Outlook() (o Outlook, expires time.Time) {
	if v.at == nil {
		return Silent, time.Time{}
	}
	v.at.mu.Lock()
	defer v.at.mu.Unlock()
	switch {
	case v.armed:
		return Promised, v.until
	case v.at.kept[v.Key] != v || v.at.resting:
		return Silent, time.Time{}
	}
	return Asked, time.Time{}
}

// fire tells the owner to look. Called with vigils.mu held.
func (v *Vigil) fire() {
	v.armed, v.until = false, time.Time{}
	select {
	case v.C <- struct{}{}:
	default: // it has been told and not yet looked
	}
}

// vigils are the vigils kept at one instance, one a key, and the questions about
// them that are on their way.
//
// Asking for the time left of a key is what makes the server promise to tell of
// its next change, and its answer says whether there is still anything to wait
// for. So interest is registered before the look, and no release falls between.
type vigils struct {
	wake chan struct{} // one slot: "there is something to ask"

	mu      sync.Mutex
	conn    net.Conn          // to ask on; nil: there is none
	resting bool              // nor will there be for a while
	kept    map[string]*Vigil // by key
	fresh   []*Vigil          // not yet asked about
	asked   []*Vigil          // asked about and not answered yet, in the order of the questions
}

func newVigils() *vigils {
	return &vigils{wake: make(chan struct{}, 1), kept: make(map[string]*Vigil)}
}

// keep takes a vigil in; another one of the same key is forgotten.
func (s *vigils) keep(v *Vigil) {
	s.mu.Lock()
	v.at = s
	v.armed, v.until = false, time.Time{}
	s.kept[v.Key] = v
	if s.conn != nil {
		s.fresh = append(s.fresh, v)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it has been rung and not yet looked
	}
}

// leave takes a vigil out. What is on its way for it comes to nothing.
func (s *vigils) leave(v *Vigil) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[v.Key] == v {
		delete(s.kept, v.Key)
	}
	v.armed = false
}

// connected begins to ask on conn, about all that are kept.
func (s *vigils) connected(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	for _, v := range s.kept {
		s.fresh = append(s.fresh, v)
	}
}

// disconnected tells all of them to look for themselves: what has been promised
// on that connection will not be kept.
func (s *vigils) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.fresh, s.asked = nil, nil, nil
	for _, v := range s.kept {
		if v.armed { // one that is not was never relied on
			v.fire()
		}
	}
}

// rest says that there is no connection for a while, or that it is over.
func (s *vigils) rest(resting bool) {
	s.mu.Lock()
	s.resting = resting
	s.mu.Unlock()
}

// maxQuestions is how many questions go out in one write.
const maxQuestions = 512

// ask appends the next questions to out; none, when there is nothing to ask. What
// is asked must be answered within timeout: the reader's deadline sees to that.
func (s *vigils) ask(out []byte, timeout time.Duration) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.fresh), maxQuestions)
	for _, v := range s.fresh[:n] {
		if s.kept[v.Key] != v {
			continue
		}
		out = resp.AppendArray(out, 2)
		out = append(out, "$4\r\npttl\r\n"...)
		out = resp.AppendArg(out, v.Key)
		s.asked = append(s.asked, v)
	}
	s.fresh = append(s.fresh[:0], s.fresh[n:]...)
	if len(out) > 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(timeout))
	}
	return out
}

// unknownLeft is the answer of a server that has not got the key's slot.
const unknownLeft = -3

// answer takes the answer to the oldest question: the milliseconds that the key
// still lives, -1 for ever, -2 when it is not there, or unknownLeft. It reports
// false when nothing has been asked.
func (s *vigils) answer(left int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return false
	}
	v := s.asked[0]
	s.asked = s.asked[1:]
	if len(s.asked) == 0 {
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	if s.kept[v.Key] != v {
		return true
	}
	switch {
	case left == unknownLeft: // the vigil is not armed
	case left == -2:
		v.fire()
	case left >= 0:
		v.armed, v.until = true, time.Now().Add(clock.Units(left, time.Millisecond))
	default:
		v.armed, v.until = true, time.Time{}
	}
	return true
}

// changed takes the server's word that a key has changed.
func (s *vigils) changed(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.kept[key]; v != nil {
		v.fire()
	}
}

// flushed takes the server's word that all keys are gone.
func (s *vigils) flushed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.kept {
		v.fire()
	}
}

// idle reports whether there is nobody to watch for.
func (s *vigils) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept) == 0
}
