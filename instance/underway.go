package instance

import (
	"os"
	"slices"
	"sync"
	"time"
)

// flow is what is under way on the link, and who may send. The mailbox's mutex guards it. Whether
// what waits may go out, the mailbox decides by it.
//
//	state     fields             what waits in the mailbox              comes after
//	idle      no pipelines       is sent: by the actor, or by its       open, or the last
//	                             poster where direct                    pipelineAnswered
//	busy      pipelines          waits; far away it is sent             putUnderWay
//	draining  halted             waits; what was written is answered    halt: scripts forgotten,
//	                                                                    demoted, address moved
//	over      halted, over       waits for the actor, which repairs     end: of the reader
//
// The actor or a poster is the sender from take, or put, to doneSending; in over the actor takes over,
// and open makes it the sender on a new link.
type flow struct {
	mu           *sync.Mutex   // the mailbox's; never set again
	halted       bool          // nothing may be sent: the link is being closed or repaired, or there is none
	over         bool          // the reader is gone, or about to go: the actor is to look after the link
	direct       bool          // on this link a small write never blocks, when nothing is under way
	sender       sender        // who sends now
	messages     int           // in pipelines
	rtt          time.Duration // of the last pipeline, there and back
	minRTT       time.Duration // of all on this link; 0: not known yet
	pipelines    []*pipeline   // sent and not yet answered, in order; behind them those that are to be sent again or could not be
	spare        []*pipeline   // to be used again
	lastAnswered *pipeline     // the last one that was answered, or is just being
	discarded    int           // of the pipelines: replies read, and to be sent again all the same
	deadlineSet  bool          // the connection has a read deadline, no later than the next pipeline's
}

// sender says who sends: who has taken messages out of the mailbox, and has not written them
// yet. There is one at a time, which keeps their order.
type sender uint8

const (
	noSender sender = iota
	theActor
	aPoster
)

// open lets messages onto a new or repaired link. The actor is the sender, for what
// is to be sent again before all others.
func (f *flow) open(direct bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.halted, f.over, f.direct, f.sender = false, false, direct, theActor
	f.messages, f.discarded, f.pipelines, f.lastAnswered = 0, 0, f.pipelines[:0], nil
	f.minRTT, f.deadlineSet = 0, false // the last rtt is still the best guess, and spare pipelines are as good
}

// write puts a pipeline under way and writes it. What cannot be written breaks the link, and its reader
// ends.
func (a *actor) write(p *pipeline) {
	l, demoted := a.link, p.demoted
	switch {
	case len(p.sent) == 0:
		a.mailbox.flow.discard(p)
	case a.mailbox.putUnderWay(p, l):
		if _, err := l.Net.Write(a.out); err != nil {
			_ = l.Net.Close()
		}
	}
	if demoted {
		a.mailbox.flow.halt(l)
	}
}

// putUnderWay puts a pipeline under way, and reports whether it is to be written: not
// when the link has been halted since they were taken. Then it is kept, behind
// what is to be sent again.
func (m *mailbox) putUnderWay(p *pipeline, l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &m.flow
	f.pipelines = append(f.pipelines, p)
	f.messages += len(p.sent)
	p.written = !f.halted
	if p.written && !f.deadlineSet {
		f.deadlineSet = true
		_ = l.Net.SetReadDeadline(p.deadline)
	}
	return p.written
}

// discard takes back a pipeline that has not been put under way.
func (f *flow) discard(p *pipeline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spare = append(f.spare, p)
}

// next is the pipeline whose replies come next, or nil: nothing is under way.
func (f *flow) next() *pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.oldest()
}

// oldest is next. Called with mu held.
func (f *flow) oldest() *pipeline {
	if f.discarded == len(f.pipelines) || !f.pipelines[f.discarded].written {
		return nil
	}
	return f.pipelines[f.discarded]
}

// lastUnderWay reports whether no replies are to come but the next pipeline's.
func (f *flow) lastUnderWay() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	behind := f.discarded + 1
	return behind >= len(f.pipelines) || !f.pipelines[behind].written
}

// pipelineAnswered takes note that the next pipeline's replies have been read, after that
// time: it is answered, or else to be sent again. It reports whether the link has
// thereby come to its end.
func (m *mailbox) pipelineAnswered(again bool, rtt time.Duration) (over bool) {
	m.mu.Lock()
	f := &m.flow
	f.rtt = rtt
	if f.minRTT == 0 || rtt < f.minRTT {
		f.minRTT = rtt
	}
	if f.lastAnswered != nil {
		f.spare = append(f.spare, f.lastAnswered)
		f.lastAnswered = nil
	}
	if again {
		f.discarded++
	} else {
		f.lastAnswered = f.pipelines[0]
		f.messages -= len(f.lastAnswered.sent)
		f.pipelines = slices.Delete(f.pipelines, 0, 1)
	}
	over = f.halted && f.oldest() == nil
	ring := m.closed || m.mayGoOut()
	m.mu.Unlock()
	if ring {
		m.ring()
	}
	return over
}

// halt lets nothing more onto the link. The reader ends when it has read what is
// under way.
func (f *flow) halt(l *link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.halted = true
	if f.oldest() == nil {
		_ = l.Net.SetReadDeadline(longAgo)
	}
}

var longAgo = time.Unix(1, 0)

// expired is called when the read deadline has passed. It returns an error if
// that is the end of the link, and sets the next deadline otherwise.
func (f *flow) expired(l *link) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.oldest()
	switch {
	case next == nil && f.halted:
		return errHalted
	case next == nil:
		f.deadlineSet = false
		return l.Net.SetReadDeadline(time.Time{})
	case time.Now().Before(next.deadline):
		return l.Net.SetReadDeadline(next.deadline)
	}
	return os.ErrDeadlineExceeded
}

// end tells the actor that the reader is about to go.
func (m *mailbox) end() {
	m.mu.Lock()
	m.flow.halted, m.flow.over = true, true
	m.mu.Unlock()
	m.ring()
}

// latency is how long the last round trip took.
func (f *flow) latency() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rtt
}

// ended reports whether the reader is gone, or about to go.
func (f *flow) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// takeOver makes the actor the sender, when the reader is gone, and returns what has
// not been answered.
func (m *mailbox) takeOver() []*pipeline {
	for {
		m.mu.Lock()
		if m.flow.sender != aPoster {
			m.flow.sender = theActor
			unanswered := slices.Clone(m.flow.pipelines)
			m.mu.Unlock()
			return unanswered
		}
		m.mu.Unlock()
		<-m.wake
	}
}
