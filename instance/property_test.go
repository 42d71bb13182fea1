package instance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ledger is what a mailbox should be, as simply as it can be said: lists, and the
// answers that every message should have had.
type ledger struct {
	mailbox *mailbox
	limit   int
	queue   []Command
	owed    []string // tokens
	refuses bool
	closed  bool
	posted  int
	answers map[*votes][]Kind
}

func (m *ledger) post(c Command, to *votes, token string) {
	limit := m.limit
	if _, asks := c.(*Acquire); !asks {
		limit *= 2
	}
	switch {
	case m.closed:
		m.answers[to] = append(m.answers[to], Unreachable)
	case m.refuses:
		m.answers[to] = append(m.answers[to], TimedOut)
		m.owe(token)
	case len(m.queue) >= limit:
		m.answers[to] = append(m.answers[to], Busy)
		m.owe(token)
	default:
		m.answers[to] = nil
		m.queue = append(m.queue, c)
	}
	post(m.mailbox, c)
}

func (m *ledger) owe(token string) {
	if token != "" {
		m.owed = append(m.owed, token)
	}
}

func owedTokens(owed []debt) (tokens []string) {
	for _, d := range owed {
		tokens = append(tokens, d.token)
	}
	return tokens
}

// TestMailboxDoesWhatItsLedgerSays: in order, nothing lost, nothing answered twice,
// and every release either in the queue or owed.
func TestMailboxDoesWhatItsLedgerSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &ledger{limit: rapid.IntRange(1, 4).Draw(t, "limit"), answers: make(map[*votes][]Kind)}
		m.mailbox = newMailbox(m.limit)
		down := Vote{Kind: TimedOut}
		t.Repeat(map[string]func(*rapid.T){
			"post an acquire": func(*rapid.T) {
				to := new(votes)
				m.post(acquireTo(to), to, "")
			},
			"post a release": func(*rapid.T) {
				to := new(votes)
				m.posted++
				token := fmt.Sprint(m.posted)
				m.post(releaseTo(to, token, time.Hour), to, token)
			},
			"post a renewal": func(*rapid.T) {
				to := new(votes)
				m.post(&Renew{Items: []Renewal{{Key: "k"}}, To: to}, to, "")
			},
			"take": func(t *rapid.T) {
				if len(m.queue) == 0 && !m.closed {
					t.Skip("would wait")
				}
				taken, ok := m.mailbox.take(context.Background(), nil)
				if ok != (len(m.queue) > 0) || !slices.Equal(taken, m.queue) {
					t.Errorf("took %d, %v; want %d", len(taken), ok, len(m.queue))
				}
				m.queue = nil
			},
			"go down": func(t *rapid.T) {
				if waiting := m.mailbox.refuse(down); !slices.Equal(waiting, m.queue) {
					t.Errorf("%d were waiting, want %d", len(waiting), len(m.queue))
				}
				for _, c := range m.queue {
					if r, ok := c.(*Release); ok {
						m.owe(r.Token)
					}
				}
				m.queue, m.refuses = nil, true
			},
			"pay": func(t *rapid.T) {
				owed := m.mailbox.takeDebts()
				if got := owedTokens(owed); !slices.Equal(got, m.owed) {
					t.Errorf("owed %v, want %v", got, m.owed)
				}
				m.refuses = m.refuses && len(owed) > 0
				paid := rapid.IntRange(0, len(owed)).Draw(t, "paid")
				m.mailbox.oweAgain(owed[paid:])
				m.owed = m.owed[paid:]
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
					t.Skip("not yet")
				}
				m.mailbox.close()
				m.closed = true
			},
			"": func(t *rapid.T) {
				if n := m.mailbox.depth(); n != len(m.queue) {
					t.Errorf("%d wait, want %d", n, len(m.queue))
				}
				for to, want := range m.answers {
					if got := to.kinds(); !slices.Equal(got, want) {
						t.Errorf("answered %v, want %v", got, want)
					}
				}
			},
		})
	})
}

// However a batch is folded, and unfolded when it is sent on another link, every
// message is in it once, and those about one key, or about many, are in the order in
// which they were posted. No bundle has a release that must leave a tombstone. The fence of each
// acquire that may go natively is raised once, behind it; of none that is sent again.
func TestBundlesKeepTheOrderOfEveryKey(t *testing.T) {
	var b bundles // used again and again, as the actor's is
	opened := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		var batch []Command
		if rapid.IntRange(0, 4).Draw(t, "many") == 0 { // more than one command raises for
			for range rapid.IntRange(maxRaise-1, 3*maxRaise).Draw(t, "fenced acquires") {
				batch = append(batch, &Acquire{Key: key.Draw(t, "key"), Fencing: Fencing{Fence: 1}})
			}
		}
		for range rapid.IntRange(0, 300).Draw(t, "messages") {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				batch = append(batch, &Acquire{Key: key.Draw(t, "key")})
			case 1:
				fence := rapid.SampledFrom([]uint64{1, 5000}).Draw(t, "fence") // the second is ahead of the server's clock
				batch = append(batch, &Acquire{Key: key.Draw(t, "key"), AskLeft: rapid.Bool().Draw(t, "askLeft"), Fencing: Fencing{Fence: fence}})
			case 2:
				batch = append(batch, &Renew{})
			case 3, 4:
				since := opened.Add(rapid.SampledFrom([]time.Duration{-1, 0, 1}).Draw(t, "since"))
				batch = append(batch, &Release{Key: key.Draw(t, "key"), Since: since, Fencing: Fencing{Fence: 1}})
			default:
				batch = append(batch, &Release{Key: key.Draw(t, "key")})
			}
		}
		first := &sending{opened: opened, ordered: true, raises: true, serverClock: 1000}
		folded := slices.Clone(b.fold(first, batch))
		check := func(folded []Command, raises bool, bundled func(*Release) bool) {
			var flat []Command
			raised := make(map[*raise]int) // how many of its acquires have been there
			for _, c := range folded {
				switch c := c.(type) {
				case *raise:
					if n := raised[c]; n != len(c.asked) {
						t.Errorf("%d fences are raised for the %d acquires in front of it", len(c.asked), n)
					}
					delete(raised, c)
					continue
				case *Acquire:
					wants := c.Fence == 1 && !c.AskLeft && raises
					if wants != (c.raise != nil) {
						t.Fatalf("%+v: is its fence raised behind it: %v, want %v", c, !wants, wants)
					}
					if wants {
						n := raised[c.raise]
						if n != c.joined || n >= maxRaise || c.raise.asked[n].cell != cellOf(c.Key) {
							t.Errorf("%+v is raised as another", c)
						}
						raised[c.raise]++
					}
				}
				b, ok := c.(*bundle)
				if !ok {
					flat = append(flat, c)
					continue
				}
				if n := len(b.releases); n < 2 || n > maxBundle {
					t.Errorf("a bundle of %d", n)
				}
				for _, r := range b.releases {
					flat = append(flat, r)
					if !bundled(r) {
						t.Errorf("%+v is bundled", r)
					}
				}
			}
			if len(raised) > 0 {
				t.Errorf("%d commands that raise fences are missing", len(raised))
			}
			if len(flat) != len(batch) {
				t.Fatalf("%d in, %d out", len(batch), len(flat))
			}
			for _, k := range []string{"a", "b", "c", "d", "e"} {
				if !slices.Equal(about(flat, k), about(batch, k)) {
					t.Errorf("those about %s, or about many, changed their order", k)
				}
			}
		}
		check(folded, true, func(r *Release) bool { return r.Fence == 0 || r.Since.After(opened) })
		for _, s := range []*sending{{opened: opened.Add(time.Hour)}, {}, {opened: opened, again: true}} {
			check(unfold(s, folded), false, func(r *Release) bool { return r.Fence == 0 })
		}
	})
}

// about returns the messages about a key, and those that may be about any.
func about(batch []Command, key string) (those []Command) {
	for _, c := range batch {
		switch c := c.(type) {
		case *Acquire:
			if c.Key != key {
				continue
			}
		case *Release:
			if c.Key != key {
				continue
			}
		}
		those = append(those, c)
	}
	return those
}
