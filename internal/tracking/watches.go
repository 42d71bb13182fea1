package tracking

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/pace"
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

	// Patient is from when on a change is looked at first, which costs a round trip, together with others:
	// the owner is then told only when the key is not there. Zero: it is told of all
	// changes at once. It is taken by Instance.Watch.
	Patient time.Time

	at *watches // where it is kept; nil: nowhere

	// Guarded by watches.mu.
	armed   bool      // the server has promised to tell
	until   time.Time // when the lock expires, as far as is known; zero: never
	patient time.Time // Patient
	free    bool      // it was told last that the key is not there
	unsaid  bool      // the server has not said that it will tell, since it has not got the key's slot
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

// Expires takes in when the lock expires, from who knows it better; zero is never.
func (w *Watch) Expires(at time.Time) {
	if w.at == nil {
		return
	}
	w.at.mu.Lock()
	defer w.at.mu.Unlock()
	w.until = at
}

// IsFree reports whether the key was not there when the owner was told last.
func (w *Watch) IsFree() bool {
	if w.at == nil {
		return false
	}
	w.at.mu.Lock()
	defer w.at.mu.Unlock()
	return w.free
}

// IsUnsaid reports whether the server was asked, and has not got the key's slot: it will not tell unless it is asked again.
func (w *Watch) IsUnsaid() bool {
	if w.at == nil {
		return false
	}
	w.at.mu.Lock()
	defer w.at.mu.Unlock()
	return w.unsaid
}

// isPatient reports whether a change is looked at before the owner is told. Called with watches.mu held.
func (w *Watch) isPatient(now time.Time) bool { return !w.patient.IsZero() && !now.Before(w.patient) }

// tell tells the owner to look. Called with watches.mu held.
func (w *Watch) tell(free bool) {
	w.armed, w.until, w.free = false, time.Time{}, free
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
//
// Where a change is looked at first, it is asked of many keys by one EXISTS how many of them are there: all, as after
// renewals, or none; else it is asked of each half. These questions keep a pace, so that a holder that renews often,
// or a server whose tracking table is too small for all that is waited for, makes them later and not more.
type watches struct {
	wake chan struct{} // one slot: "there is something to ask"

	mu       sync.Mutex
	conn     net.Conn          // to ask on; nil: there is none
	resting  bool              // nor will there be for a while
	kept     map[string]*Watch // by key
	fresh    []*Watch          // not yet asked about
	stirred  []*Watch          // that have changed, and are looked at first
	parts    []question        // of questions that were answered "some"
	pace     pace.Pace         // of the questions about those
	oneByOne bool              // the server has refused to be asked of many keys
	asked    []question        // and not answered yet, in their order
	held     heldWatches
}

// question asks one watch for the time left, or of several how many of their keys are there. Of none, it is about a
// lock that is held: the next of heldWatches.asked.
type question []*Watch

const (
	// maxQuestions is how many questions go out in one write.
	maxQuestions = 512
	// lookEvery is the pace of the questions about keys that have changed, of which lookBurst may come at once after a
	// quiet time. mostLooked is how many keys one may have: a command blocks the server while it runs.
	lookEvery  = 25 * time.Millisecond
	lookBurst  = 8
	mostLooked = 128
	mostAlone  = 8 // where each is a question of its own
)

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
	w.armed, w.until, w.free, w.unsaid, w.patient = false, time.Time{}, false, false, w.Patient
	s.kept[w.Key] = w
	if s.conn != nil {
		s.fresh = append(s.fresh, w)
	}
	s.mu.Unlock()
	s.ring()
}

// ring has it asked what there is to ask.
func (s *watches) ring() {
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
	s.conn, s.oneByOne = conn, false
	for _, w := range s.kept {
		s.fresh = append(s.fresh, w)
	}
	s.heldConnected()
}

// disconnected tells all of them to look for themselves: what has been promised
// on that connection will not be kept.
func (s *watches) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.fresh, s.asked, s.stirred, s.parts = nil, nil, nil, nil, nil
	for _, w := range s.kept {
		if w.armed { // one that is not was never relied on
			w.tell(false)
		}
	}
	s.heldDisconnected()
}

// rest says that there is no connection for a while, or that it is over.
func (s *watches) rest(resting bool) {
	s.mu.Lock()
	s.resting = resting
	s.mu.Unlock()
}

// ask appends the next questions to out, if there are any. Where some must wait for their time, later says for how
// long. What is asked must be answered within timeout: the reader's deadline sees to that.
func (s *watches) ask(out []byte, timeout time.Duration) (_ []byte, later time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.fresh), maxQuestions)
	for _, w := range s.fresh[:n] {
		out = s.appendQuestion(out, question{w})
	}
	s.fresh = append(s.fresh[:0], s.fresh[n:]...)
	for _, q := range s.parts {
		out = s.appendQuestion(out, q)
	}
	s.parts = nil
	if len(s.stirred) > 0 {
		now := time.Now()
		if later = s.pace.Next(lookEvery, lookBurst).Sub(now); later <= 0 {
			n := mostLooked
			if s.oneByOne {
				n = mostAlone
			}
			n = min(len(s.stirred), n)
			out = s.appendQuestion(out, slices.Clone(s.stirred[:n]))
			s.stirred = append(s.stirred[:0], s.stirred[n:]...)
			s.pace.Take(lookEvery, now)
			later = lookEvery
		}
	}
	out = s.askHeld(out)
	if len(out) > 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(timeout))
	}
	return out, later
}

// appendQuestion asks about those that are still kept. Called with mu held.
func (s *watches) appendQuestion(out []byte, q question) []byte {
	q = slices.DeleteFunc(q, func(w *Watch) bool { return s.kept[w.Key] != w })
	if len(q) > 1 && !s.oneByOne {
		out = resp.AppendArray(out, 1+len(q))
		out = append(out, "$6\r\nexists\r\n"...)
		for _, w := range q {
			out = resp.AppendArg(out, w.Key)
		}
		s.asked = append(s.asked, q)
		return out
	}
	for i, w := range q {
		out = resp.AppendArray(out, 2)
		out = append(out, "$4\r\npttl\r\n"...)
		out = resp.AppendArg(out, w.Key)
		s.asked = append(s.asked, q[i:i+1:i+1])
	}
	return out
}

// unknownLeft is the answer of a server that has not got the key's slot.
const unknownLeft = -3

// answer takes the answer to the oldest question: of one key, the milliseconds that it
// still lives, -1 for ever, -2 when it is not there, or unknownLeft; of several, how many are there. It reports
// false when nothing has been asked.
func (s *watches) answer(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.answered()
	switch {
	case q == nil:
		return false
	case len(q) > 1:
		s.answerMany(q, n)
		return true
	}
	w := q[0]
	if s.kept[w.Key] != w {
		return true
	}
	switch {
	case n == unknownLeft: // the watch is not armed
		w.unsaid = true
	case n == -2:
		w.tell(true)
	case n >= 0:
		w.armed, w.until = true, time.Now().Add(clock.Units(n, time.Millisecond))
	default:
		w.armed, w.until = true, time.Time{}
	}
	return true
}

// answered takes out the oldest question. Called with mu held.
func (s *watches) answered() question {
	if len(s.asked) == 0 {
		return nil
	}
	q := s.asked[0]
	s.asked = s.asked[1:]
	if len(s.asked) == 0 {
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	return q
}

// answerMany takes how many of the keys are there. When they expire is not known then: at another time than before.
// Called with mu held.
func (s *watches) answerMany(q question, n int64) {
	if n != 0 && n != int64(len(q)) {
		s.parts = append(s.parts, q[:len(q)/2:len(q)/2], q[len(q)/2:])
		s.ring()
		return
	}
	for _, w := range q {
		switch {
		case s.kept[w.Key] != w:
		case n == 0:
			w.tell(true)
		default:
			w.armed, w.until = true, time.Time{}
		}
	}
}

// refused takes that the server has answered the oldest question with an error. It reports false when it was about one
// key: about several, each is asked by itself from now on, as in a cluster, where each has a slot of its own.
func (s *watches) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 || len(s.asked[0]) == 1 {
		return false
	}
	s.oneByOne = true
	s.parts = append(s.parts, s.answered())
	s.ring()
	return true
}

// changed takes the server's word that a key has changed.
func (s *watches) changed(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.kept[key]; w != nil {
		s.stir(w, time.Now())
	}
	s.heldChanged(key)
}

// flushed takes the server's word that all keys are gone.
func (s *watches) flushed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, w := range s.kept {
		s.stir(w, now)
	}
	s.heldFlushed()
}

// stir tells the owner that the key has changed, or looks first. Called with mu held.
func (s *watches) stir(w *Watch, now time.Time) {
	switch {
	case !w.isPatient(now):
		w.tell(false)
	case w.armed: // else it is being asked about
		w.armed = false
		s.stirred = append(s.stirred, w)
		s.ring()
	}
}

// idle reports whether there is nobody to watch for.
func (s *watches) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripen(time.Now())
	return len(s.kept) == 0 && s.held.begun == 0
}
