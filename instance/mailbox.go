package instance

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// mailbox is where messages wait for the actor, in the order in which they were
// posted. It is bounded and never blocks who posts.
//
// A mutex, a slice and a one-slot wake channel, rather than a buffered channel:
// closing and refusing are then one step with the queue, and a message is either
// in the queue, to be answered by the actor, or refused, to be answered by who
// posted it. There is no moment in between in which it could be lost.
type mailbox struct {
	limit int
	wake  chan struct{} // one slot: "look again"; sent by put and close, received by take

	mu      sync.Mutex
	queue   []Command
	refusal *Vote     // while not nil, every message is answered with it at once: the instance is down
	down    time.Time // since when there is a refusal
	owed    []debt    // releases to be made good when the instance is back
	pruned  time.Time // when the debts that have become void were last looked for
	closed  bool
}

// maxDebts bounds what an instance that is down, or refuses, can be owed.
const maxDebts = 1 << 16

// payEvery is how often an instance that is up tries to make good what it owes.
const payEvery = 500 * time.Millisecond

// debt is a release that could not be confirmed. The key would live on for the
// rest of its TTL, so it is deleted when the instance is back.
type debt struct {
	key, token string
	fencing    Fencing
	since      time.Time // when its acquire began; zero: unknown
	until      time.Time // by then the key has expired on its own
}

func newMailbox(limit int) *mailbox {
	return &mailbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put adds a message, or answers it on the spot: Busy when the mailbox is full,
// the refusal when the instance is down.
func (m *mailbox) put(c Command, name string) {
	if vote, taken := m.offer(c, name); !taken {
		c.refuse(vote)
	}
}

// offer is put, but leaves it to the caller to answer a message that is refused.
func (m *mailbox) offer(c Command, name string) (vote Vote, taken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
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
	m.ring()
	return Vote{}, true
}

// room is how many messages may be there before c. A barrier has always room:
// there is one for each slot at most.
func (m *mailbox) room(c Command) int {
	if _, ok := c.(*barrier); ok {
		return math.MaxInt
	}
	if c.urgent() {
		return 2 * m.limit
	}
	return m.limit
}

// ring wakes take, whether or not it sleeps.
func (m *mailbox) ring() {
	select {
	case m.wake <- struct{}{}:
	default: // it has been rung and not yet looked
	}
}

// take waits for messages and returns all of them, with into as the next queue's
// room. It returns none when something is owed and nothing else came for a while.
// It reports false when the mailbox is closed and empty, or ctx has ended.
func (m *mailbox) take(ctx context.Context, into []Command) ([]Command, bool) {
	for {
		m.mu.Lock()
		if len(m.queue) > 0 {
			batch := m.queue
			m.queue = into[:0]
			m.mu.Unlock()
			return batch, true
		}
		closed, owes := m.closed, len(m.owed) > 0
		m.mu.Unlock()
		if closed {
			return nil, false
		}
		var reminder <-chan time.Time
		if owes {
			reminder = time.After(payEvery)
		}
		select {
		case <-m.wake:
		case <-reminder:
			return into[:0], true
		case <-ctx.Done():
			return nil, false
		}
	}
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
	waiting := m.queue
	m.queue = nil
	for _, c := range waiting {
		m.owe(c)
	}
	return waiting
}

// owe notes a release that cannot be sent now. Called with mu held.
//
// A lease whose acquire began while the instance was down already has never been
// heard of there: so what is owed is bounded by the leases that were held when it
// went down, and does not grow while it stays down.
func (m *mailbox) owe(c Command) {
	d, ok := c.debt()
	if !ok || m.refusal != nil && d.since.After(m.down) {
		return
	}
	if now := time.Now(); len(m.owed) >= maxDebts && now.Sub(m.pruned) >= time.Second {
		m.pruned = now
		m.owed = slices.DeleteFunc(m.owed, func(d debt) bool { return !now.Before(d.until) })
	}
	if len(m.owed) < maxDebts { // else that key goes by its TTL
		m.owed = append(m.owed, d)
	}
}

// oweAgain takes back debts that could not be paid.
func (m *mailbox) oweAgain(owed []debt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owed = append(owed, m.owed...)
}

// addDebt notes a release that was sent and not confirmed.
func (m *mailbox) addDebt(c Command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owe(c)
}

// settleDebts hands over what is owed; when nothing is, it opens the mailbox
// again, in the same step: no release can slip in between.
func (m *mailbox) settleDebts() []debt {
	m.mu.Lock()
	defer m.mu.Unlock()
	owed := m.owed
	m.owed = nil
	if len(owed) == 0 {
		m.refusal = nil
	}
	return owed
}

// drain refuses nothing any more, and hands over what was waiting. It is for a
// mailbox that no actor takes from.
func (m *mailbox) drain() []Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting := m.queue
	m.queue, m.refusal = nil, nil
	return waiting
}

// disown hands over those debts that are somebody else's to pay.
func (m *mailbox) disown(elsewhere func(key string) bool) (gone []debt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owed = slices.DeleteFunc(m.owed, func(d debt) bool {
		if elsewhere(d.key) {
			gone = append(gone, d)
			return true
		}
		return false
	})
	return gone
}

// close lets nothing more in. What is in the queue will still be taken.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
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
