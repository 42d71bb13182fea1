package instance

import (
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// maxDebts bounds what an instance that is down, or refuses, can be owed.
const maxDebts = 1 << 16

// payEvery is how often an instance that is up tries to make good what it owes.
const payEvery = 500 * time.Millisecond

// debt is a release that could not be confirmed. The key would live on for the
// rest of its TTL, so it is deleted when the instance is back.
type debt struct {
	key, token string
	former     string // as in Release
	sharing    *Sharing
	fencing    Fencing
	since      time.Time // when its acquire began; zero: unknown
	until      time.Time // by then the key has expired on its own, if it was there when the debt arose
}

// owe notes a release that cannot be sent now. Called with mu held.
//
// A lease whose acquire began while the instance was down already has never been
// heard of there: so what is owed is bounded by the leases that were held when it
// went down, and does not grow while it stays down. A node of a cluster is another
// matter: it may have been given the lock by the node that was asked.
func (m *mailbox) owe(c Command) {
	if each, ok := c.(*ReleaseEach); ok {
		each.debts(m.oweOne)
	} else if d, ok := c.debt(); ok {
		m.oweOne(d)
	}
}

func (m *mailbox) oweOne(d debt) {
	if m.refusal != nil && !m.slotsMove && d.since.After(m.down) {
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

// noteDebt notes a release that was sent and not confirmed. The actor, which may be asleep, is reminded of it.
func (m *mailbox) noteDebt(c Command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owe(c); len(m.owed) > 0 {
		m.ring()
	}
}

// takeDebts hands over what is owed; when nothing is, it opens the mailbox
// again, in the same step: no release can slip in between.
func (m *mailbox) takeDebts() []debt {
	m.mu.Lock()
	defer m.mu.Unlock()
	owed := m.owed
	m.owed = nil
	if len(owed) == 0 {
		m.refusal = nil
		m.noteAbsence()
	}
	return owed
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

// repay puts what is owed into the queue again, every payEvery: releases that
// found the mailbox full, or that the server refused, while the instance was up
// all the time. New questions find the other half of their room: a server that refuses
// all releases would be too busy for anything else.
func (m *mailbox) repay() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.owed) == 0 || m.refusal != nil || time.Since(m.repaid) < payEvery {
		return
	}
	m.repaid = time.Now()
	n := min(len(m.owed), max(0, (m.limit+1)/2-len(m.queue)))
	for _, d := range m.owed[:n] {
		if r := d.release(); r.TTL > 0 {
			m.queue = append(m.queue, r)
		}
	}
	m.owed = slices.Delete(m.owed, 0, n)
}

// payDebts makes good the releases that could not be confirmed, before anything
// else is sent, and then opens the mailbox. What the server refuses even now
// stays owed for later.
//
// On a new link that is all of them, however old: the acquire may have lain in the
// socket of a server that was frozen, and been executed just now, so that the key
// has its whole TTL before it.
func (a *actor) payDebts() error {
	var refused []debt
	for {
		owed := a.mailbox.takeDebts()
		if len(owed) == 0 {
			a.mailbox.oweAgain(refused)
			return nil
		}
		unpaid, err := a.pay(owed)
		refused = append(refused, unpaid...)
		if err != nil {
			a.mailbox.oweAgain(refused)
			return err
		}
	}
}

// pay sends the releases, and returns those that were not carried out: refused by
// the server, or cut off with the connection. Where a native command is refused, they are
// sent as scripts.
func (a *actor) pay(owed []debt) (unpaid []debt, err error) {
	s := sending{actor: a, now: time.Now(), beside: a.mailbox.slotsMove}
	for len(owed) > 0 {
		n := min(len(owed), a.cfg.Batch)
		s.deletion = a.link.nativeDeletion()
		releases := make([]Release, n)
		a.out = a.out[:0]
		for k, d := range owed[:n] {
			releases[k] = Release{Key: d.key, Token: d.token, Former: d.former, Sharing: d.sharing, Fencing: d.fencing}
			a.out, _ = releases[k].appendCommand(&s, a.out)
		}
		if err := a.link.Send(a.out, time.Now().Add(a.cfg.Timeout)); err != nil {
			return append(unpaid, owed...), err
		}
		for k, d := range owed[:n] {
			if err := a.link.Next(&a.reader.reply); err != nil {
				return append(unpaid, owed...), err
			}
			switch {
			case a.reader.reply.Kind == resp.Number:
			case a.reader.reply.Kind != resp.Error || a.reader.reply.Unread:
				return append(unpaid, owed...), errUnasked
			case a.reader.refusesNative(a.link, &releases[k]):
				owed = append(owed, d)
			case !a.role.referDebt(d, &a.reader.reply):
				unpaid = append(unpaid, d)
			}
		}
		owed = owed[n:]
	}
	return unpaid, nil
}
