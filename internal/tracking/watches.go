package tracking

import (
	"net"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Watch is one wait for a lock to become free, at one instance: Instance.Watch
// begins it. It may be used again after Instance.Unwatch.
type Watch struct {
	Key string

	// C is sent to, without blocking, when the lock may have become free: it was
	// released, deleted, renewed or overwritten, by any client, it was free already,
	// or the instance cannot tell any more. The receiver must look for itself,
	// and call Instance.Watch again to be told again. It has one slot.
	C chan struct{}

	armed bool      // the server has promised to tell; guarded by watches.mu
	until time.Time // when the lock expires, as far as the server knows; zero: never
	at    *watches  // where it is kept; nil: nowhere
}

// NewWatch makes a watch for a key.
func NewWatch(key string) *Watch { return &Watch{Key: key, C: make(chan struct{}, 1)} }

// Outlook is what the owner of a Watch may expect.
type Outlook uint8

const (
	Silent   Outlook = iota // nothing: the owner had better look for itself from time to time
	Asked                   // the server is being asked; that takes no longer than a few of the instance's timeouts
	Promised                // the server will tell when the lock changes
)

// Outlook returns what may be expected, and when the lock expires if nobody renews
// it; zero is never or unknown. An expiry itself is no change that the server
// tells in time.
func (w *Watch) Outlook() (o Outlook, expires time.Time) {
	if w.at == nil {
		return Silent, time.Time{}
	}
	w.at.mu.Lock()
	defer w.at.mu.Unlock()
	switch {
	case w.armed:
		return Promised, w.until
	case w.at.kept[w.Key] != w || w.at.resting:
		return Silent, time.Time{}
	}
	return Asked, time.Time{}
}

// tell tells the owner to look. Called with watches.mu held.
func (w *Watch) tell() {
	w.armed, w.until = false, time.Time{}
	select {
	case w.C <- struct{}{}:
	default: // it has been told and not yet looked
	}
}

// watches are the watches kept at one instance, one a key, and the questions about
// them that are on their way.
//
// Asking for the time left of a key is what makes the server promise to tell of
// its next change, and its answer says whether there is still anything to wait
// for. So interest is registered before the look, and no release falls between.
type watches struct {
	wake chan struct{} // one slot: "there is something to ask"

	mu      sync.Mutex
	conn    net.Conn          // to ask on; nil: there is none
	resting bool              // nor will there be for a while
	kept    map[string]*Watch // by key
	fresh   []*Watch          // not yet asked about
	asked   []*Watch          // asked about and not answered yet, in the order of the questions
}

func newWatches() *watches {
	return &watches{wake: make(chan struct{}, 1), kept: make(map[string]*Watch)}
}

// Keep takes a watch in, and out of where it was; another one of the same key is forgotten.
func (s *watches) Keep(w *Watch) {
	if w.at != s {
		w.Leave()
	}
	s.mu.Lock()
	w.at = s
	w.armed, w.until = false, time.Time{}
	s.kept[w.Key] = w
	if s.conn != nil {
		s.fresh = append(s.fresh, w)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it has been rung and not yet looked
	}
}

// Leave takes a watch out of where it is kept, if it is. What is on its way for it comes
// to nothing.
func (w *Watch) Leave() {
	if w.at != nil {
		w.at.leave(w)
		w.at = nil
	}
}

// leave takes a watch out. What is on its way for it comes to nothing.
func (s *watches) leave(w *Watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[w.Key] == w {
		delete(s.kept, w.Key)
	}
	w.armed = false
}

// connected begins to ask on conn, about all that are kept.
func (s *watches) connected(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	for _, w := range s.kept {
		s.fresh = append(s.fresh, w)
	}
}

// disconnected tells all of them to look for themselves: what has been promised
// on that connection will not be kept.
func (s *watches) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.fresh, s.asked = nil, nil, nil
	for _, w := range s.kept {
		if w.armed { // one that is not was never relied on
			w.tell()
		}
	}
}

// rest says that there is no connection for a while, or that it is over.
func (s *watches) rest(resting bool) {
	s.mu.Lock()
	s.resting = resting
	s.mu.Unlock()
}

// maxQuestions is how many questions go out in one write.
const maxQuestions = 512

// ask appends the next questions to out; none, when there is nothing to ask. What
// is asked must be answered within timeout: the reader's deadline sees to that.
func (s *watches) ask(out []byte, timeout time.Duration) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.fresh), maxQuestions)
	for _, w := range s.fresh[:n] {
		if s.kept[w.Key] != w {
			continue
		}
		out = resp.AppendArray(out, 2)
		out = append(out, "$4\r\npttl\r\n"...)
		out = resp.AppendArg(out, w.Key)
		s.asked = append(s.asked, w)
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
func (s *watches) answer(left int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return false
	}
	w := s.asked[0]
	s.asked = s.asked[1:]
	if len(s.asked) == 0 {
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	if s.kept[w.Key] != w {
		return true
	}
	switch {
	case left == unknownLeft: // the watch is not armed
	case left == -2:
		w.tell()
	case left >= 0:
		w.armed, w.until = true, time.Now().Add(clock.Units(left, time.Millisecond))
	default:
		w.armed, w.until = true, time.Time{}
	}
	return true
}

// changed takes the server's word that a key has changed.
func (s *watches) changed(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.kept[key]; w != nil {
		w.tell()
	}
}

// flushed takes the server's word that all keys are gone.
func (s *watches) flushed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.kept {
		w.tell()
	}
}

// idle reports whether there is nobody to watch for.
func (s *watches) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept) == 0
}
