package instance

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// mailbox is where messages wait for the actor, in the order in which they were
// posted. It is bounded and never blocks its posters.
//
// A mutex, a slice and a one-slot wake channel, rather than a buffered channel:
// closing and refusing are then one step with the queue, and a message is either
// in the queue, to be answered by the actor, or refused, to be answered by its
// poster. There is no moment in between in which it could be lost.
//
// What waits goes out as soon as nothing is under way: then it makes one
// pipeline, and load makes batches, not queues. Near by that is all. Far away,
// where waiting for the round trip of others would be felt, it goes out at once. Only
// where that makes a small pipeline, goroutines that are about to post may run first.
type mailbox struct {
	limit     int
	slotsMove bool            // of a node of a cluster: locks come from other nodes and go to them, slot by slot
	wake      chan struct{}   // one slot: "look again"; received by the actor
	life      context.Context // ends when the mailbox is closed
	die       context.CancelFunc

	mu      sync.Mutex
	queue   []Command
	refusal *Vote                   // while not nil, every message is answered with it at once: the instance is down
	down    time.Time               // since when there is a refusal
	absence atomic.Pointer[absence] // both, for those who only look; nil: there is none, or the mailbox is closed
	owed    []debt                  // releases to be made good when the instance is back
	pruned  time.Time               // when the debts that have become void were last looked for
	repaid  time.Time               // when debts were last queued again
	closed  bool
	flow    flow
}

func newMailbox(limit int) *mailbox {
	m := &mailbox{limit: limit, wake: make(chan struct{}, 1)}
	m.flow.mu = &m.mu
	m.life, m.die = context.WithCancel(context.Background())
	return m
}

// Post hands messages to the actor and returns at once. Where it is the only instance and nothing is under
// way, it writes them itself: no more than fits into an empty socket buffer. Before Run they wait; after Close
// they are refused. The answer comes to
// the message's caster; when the instance is down or its mailbox is full, it
// comes before Post returns. Messages are served in the order of their posts;
// those that are posted together go out together.
//
// It is for the engine.
func (i *Instance) Post(messages ...Command) {
	for _, c := range messages {
		reset(c)
	}
	if i.route != nil {
		for _, c := range messages {
			switch c := c.(type) {
			case *AcquireEach:
				c.route(i)
			case *ReleaseEach:
				c.route(i)
			default:
				i.route(c)
			}
		}
		return
	}
	if i.mailbox.put(i.name, messages...) {
		n := copy(i.actor.direct[:], messages)
		i.actor.send(i.actor.direct[:n])
		clear(i.actor.direct[:n])
		i.mailbox.doneSending(aPoster)
	}
}

// reset makes a message forget an earlier use. An undo withdraws its acquire: if that has not
// been sent, it never will be, and there is nothing to undo.
func reset(c Command) {
	switch c := c.(type) {
	case *Acquire:
		c.stage.Store(posted)
	case *Release:
		c.moot = c.Undo != nil && c.Undo.withdraw()
		c.native, c.looks = false, false
	case *AcquireEach:
		c.reset()
	case *ReleaseEach:
		c.reset()
	}
}

// put adds messages, or answers them on the spot: Busy when the mailbox is full,
// the refusal when the instance is down. It reports true when the poster is the sender
// now, and is to send them itself.
func (m *mailbox) put(name string, messages ...Command) (send bool) {
	m.mu.Lock()
	if m.posterMaySend() && fitSocket(messages) {
		m.flow.sender = aPoster
		m.mu.Unlock()
		return true
	}
	for _, c := range messages {
		if vote, taken := m.accept(c, name); !taken {
			m.mu.Unlock()
			c.refuse(vote)
			m.mu.Lock()
		}
	}
	m.mu.Unlock()
	return false
}

// offer is put, but leaves it to the caller to answer a message that is refused.
func (m *mailbox) offer(c Command, name string) (vote Vote, taken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.accept(c, name)
}

// accept is offer with mu held.
func (m *mailbox) accept(c Command, name string) (vote Vote, taken bool) {
	switch {
	case m.closed:
		return Vote{Instance: name, Kind: Unreachable, Err: errClosed}, false
	case m.refusal != nil:
		m.owe(c)
		return *m.refusal, false
	case len(m.queue) >= m.room(c):
		m.owe(c)
		return Vote{Instance: name, Kind: Busy}, false
	}
	m.queue = append(m.queue, c)
	if m.mayGoOut() {
		m.ring()
	}
	return Vote{}, true
}

// room is how many messages may be there before c. A new question finds the first half of
// the mailbox. The second is for what ends or renews leases, or is the end of a question.
// A barrier has always room: there is one for each slot at most.
func (m *mailbox) room(c Command) int {
	switch c := c.(type) {
	case *routed:
		return m.room(c.Command)
	case *barrier:
		return math.MaxInt
	case *Acquire, *AcquireEach, *Inspect, *LookAtQueue, *LookAtLeader, *CloseShared, *CountReaders:
		return m.limit
	}
	return 2 * m.limit
}

// ring wakes take, whether or not it sleeps.
func (m *mailbox) ring() {
	select {
	case m.wake <- struct{}{}:
	default: // it has been rung and not yet looked
	}
}

// take waits until messages may go out and returns all that wait, with into as
// the next queue's room; with them the actor is the sender, until it calls take
// again. It returns none when the link has come to an end, or when something is
// owed and nothing else came for a while. It reports false when the mailbox is
// closed and everything is answered, or ctx has ended.
func (m *mailbox) take(ctx context.Context, into []Command) ([]Command, bool) {
	m.doneSending(theActor)
	for yielded := false; ; {
		m.mu.Lock()
		owes := len(m.owed) > 0
		switch {
		case m.closed && len(m.queue) == 0 && m.isIdle():
			m.mu.Unlock()
			return nil, false
		case m.flow.over:
			m.mu.Unlock()
			return nil, true
		case m.mayGoOut() && m.makesSmallPipeline() && !yielded:
			m.mu.Unlock()
			runtime.Gosched()
			yielded = true
			continue
		case m.mayGoOut():
			batch := m.queue
			m.queue, m.flow.sender = into[:0], theActor
			m.mu.Unlock()
			return batch, true
		}
		m.mu.Unlock()
		var reminder <-chan time.Time
		if owes {
			reminder = time.After(payEvery)
		}
		select {
		case <-m.wake:
		case <-reminder:
			return nil, true
		case <-ctx.Done():
			return nil, false
		}
	}
}

// doneSending says that a sender has written all that it had taken. If it is not the sender, that
// has no effect.
func (m *mailbox) doneSending(by sender) {
	m.mu.Lock()
	if m.flow.sender != by {
		m.mu.Unlock()
		return
	}
	m.flow.sender = noSender
	ring := by != theActor && (m.flow.halted || m.closed || m.mayGoOut())
	m.mu.Unlock()
	if ring {
		m.ring()
	}
}

const (
	// fullDuplexRTT is the round trip that is short enough to be waited for twice.
	fullDuplexRTT = 500 * time.Microsecond
	// smallPipeline: a pipeline is small if it has fewer messages than those under way divided by this.
	smallPipeline = 8
	// maxUnderWay is how many messages may be under way before more are taken.
	maxUnderWay = 4096
	// maxDirect is how many messages a poster may send itself, and maxDirectText how long all
	// their names and tokens may be.
	maxDirect     = 2
	maxDirectText = 1024
)

// mayGoOut reports whether what waits may be sent. Called with mu held, as the next three.
func (m *mailbox) mayGoOut() bool {
	f := &m.flow
	if len(m.queue) == 0 || f.halted || f.sender != noSender {
		return false
	}
	return f.messages == 0 || f.minRTT > fullDuplexRTT && f.messages < maxUnderWay
}

// makesSmallPipeline reports whether what waits would make a small pipeline.
func (m *mailbox) makesSmallPipeline() bool { return len(m.queue)*smallPipeline < m.flow.messages }

// posterMaySend reports whether a poster may send its messages itself, if they are small.
func (m *mailbox) posterMaySend() bool {
	return len(m.queue) == 0 && m.refusal == nil && !m.closed && m.flow.direct && !m.flow.halted && m.isIdle()
}

// isIdle reports whether nothing is under way, and nobody is about to send.
func (m *mailbox) isIdle() bool { return len(m.flow.pipelines) == 0 && m.flow.sender == noSender }

// fitSocket reports whether messages fit into an empty socket buffer, however small that is.
func fitSocket(messages []Command) bool {
	text := 0
	for _, c := range messages {
		switch c := c.(type) {
		case *Acquire:
			if c.Several != nil || c.Any != nil {
				return false
			}
			text += len(c.Key) + len(c.Prefix) + len(c.Token) + len(c.Former) + c.Sharing.text()
		case *Release:
			text += len(c.Key) + len(c.Prefix) + len(c.Token) + len(c.Former) + c.Sharing.text()
		case *Enqueue:
			text += 4 * len(c.Bell)
		case *LeaveQueue:
			text += 3 * len(c.Bell)
		default:
			return false
		}
	}
	return len(messages) <= maxDirect && text <= maxDirectText
}

// refuse makes the mailbox answer everything with v from now on, and returns
// what was waiting, to be refused too.
func (m *mailbox) refuse(v Vote) []Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refusal == nil {
		m.down = time.Now()
	}
	m.refusal = &v
	m.noteAbsence()
	waiting := m.queue
	m.queue = nil
	for _, c := range waiting {
		m.owe(c)
	}
	return waiting
}

// drain refuses nothing any more, and hands over what was waiting. It is for a
// mailbox that no actor takes from.
func (m *mailbox) drain() []Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting := m.queue
	m.queue, m.refusal = nil, nil
	m.noteAbsence()
	return waiting
}

// close lets nothing more in. What is in the queue will still be taken.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.noteAbsence()
	m.mu.Unlock()
	m.die()
	m.ring()
}

func (m *mailbox) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *mailbox) depth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue)
}
