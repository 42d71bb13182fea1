package instance

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// releasedEach is a message about so many locks, whose acquires began at since, and what it is sent with.
func releasedEach(items int, since time.Time) (*ReleaseEach, eachVotes, *sending) {
	votes := make(eachVotes, items)
	m := &ReleaseEach{Items: make([]ReleaseItem, items), TTL: time.Minute, To: votes}
	for k := range m.Items {
		m.Items[k] = ReleaseItem{Key: fmt.Sprintf("key-%d", k), Token: "token", Since: since}
	}
	m.Text = EncodeReleases(nil, m.Items)
	reset(m)
	i := bare("redis")
	i.log = slog.New(slog.DiscardHandler)
	i.mailbox = newMailbox(10)
	return m, votes, &sending{actor: i.actor, now: time.Now()}
}

// replyOf is the reply of one call of the script.
func replyOf(numbers ...int64) *resp.Reply {
	r := &resp.Reply{Kind: resp.List}
	for _, n := range numbers {
		r.List = append(r.List, resp.Reply{Kind: resp.Number, N: n})
	}
	return r
}

func TestReleaseEachReadsOneCallAfterTheOther(t *testing.T) {
	m, votes, s := releasedEach(maxBundle+3, time.Now())
	if got := m.replies(); got != 2 {
		t.Fatalf("%d calls, want two", got)
	}
	first := make([]int64, maxBundle)
	for k := range first {
		first[k] = 1 - int64(k%3)
	}
	if m.fits(replyOf(1, 1, 1)) || !m.fits(replyOf(first...)) {
		t.Error("the first reply does not fit that is about as many as one call may be, or one that is shorter does")
	}
	m.readReply(s, replyOf(first...))
	if !m.fits(replyOf(1, 1, 1)) {
		t.Error("the second reply does not fit")
	}
	last := replyOf(1, 0, 0)
	last.List[1] = resp.Reply{Kind: resp.Text, Text: []byte("OOM command not allowed")}
	m.readReply(s, last)
	for k := range maxBundle {
		if want := []Kind{Granted, Gone, Stolen}[k%3]; len(votes[k]) != 1 || votes[k][0] != want {
			t.Fatalf("item %d: the votes are %v, want one: %v", k, votes[k], want)
		}
	}
	votes[maxBundle:].are(t, Granted, Refused, Gone)
	if owed := s.actor.mailbox.takeDebts(); len(owed) != 1 || owed[0].key != m.Items[maxBundle+1].Key {
		t.Errorf("owed is %v, want the one that was refused", owed)
	}
}

// What is not answered is owed, and what was answered before is not.
func TestReleaseEachThatIsNotAnsweredIsOwed(t *testing.T) {
	for name, end := range map[string]func(*ReleaseEach, *sending){
		"cut off": func(m *ReleaseEach, s *sending) { s.actor.refused(m, Vote{Kind: TimedOut}) },
		"refused": func(m *ReleaseEach, s *sending) { m.refuseNext(s, Vote{Kind: TimedOut, Err: errors.New("OOM")}) },
	} {
		t.Run(name, func(t *testing.T) {
			m, votes, s := releasedEach(maxBundle+2, time.Now())
			m.readReply(s, replyOf(make([]int64, maxBundle)...))
			end(m, s)
			votes[:1].are(t, Gone)
			votes[maxBundle:].are(t, TimedOut, TimedOut)
			owed := s.actor.mailbox.takeDebts()
			if len(owed) != 2 {
				t.Fatalf("owed is %v, want the last two", owed)
			}
			for k, d := range owed {
				if item := m.Items[maxBundle+k]; d.key != item.Key || d.token != item.Token || !d.since.Equal(item.Since) || time.Until(d.until) <= 0 {
					t.Errorf("owed is %v, want %v", d, item)
				}
			}
		})
	}
}

// At the door of an instance that is down all of it is answered, and as much of it owed as may be there.
func TestReleaseEachAtAClosedDoorIsOwed(t *testing.T) {
	m, votes, s := releasedEach(3, time.Now())
	box := s.actor.mailbox
	box.refuse(Vote{Kind: Unreachable})
	m.Items[2].Since = time.Now().Add(time.Second)
	post(box, m)
	votes.are(t, Unreachable, Unreachable, Unreachable)
	if owed := box.takeDebts(); len(owed) != 2 || owed[0].key != "key-0" || owed[1].key != "key-1" {
		t.Errorf("owed is %v, want the two that were acquired before it was down", owed)
	}
}

func TestReleaseEachIsTakenApartWhereMoreIsToBeDoneForEach(t *testing.T) {
	opened := time.Now()
	for name, c := range map[string]struct {
		change func(*ReleaseEach, *sending)
		whole  bool
	}{
		"plain":                         {func(*ReleaseEach, *sending) {}, true},
		"again":                         {func(_ *ReleaseEach, s *sending) { s.again = true }, false},
		"a native command":              {func(_ *ReleaseEach, s *sending) { s.deletion = new(reach.Deletion) }, false},
		"a cluster":                     {func(_ *ReleaseEach, s *sending) { s.beside = true }, false},
		"a fence of this connection":    {func(m *ReleaseEach, s *sending) { s.opened, m.Items[1].Fence = opened, 7 }, true},
		"a fence of one before":         {func(m *ReleaseEach, s *sending) { s.opened, m.Items[1].Fence = opened.Add(time.Hour), 7 }, false},
		"a fence that may come by both": {func(m *ReleaseEach, _ *sending) { m.Items[1].Fence = 7 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, votes, s := releasedEach(3, opened.Add(time.Second))
			c.change(m, s)
			if got := m.goesWhole(s); got != c.whole {
				t.Errorf("goes whole: %v, want %v", got, c.whole)
			}
			for k, part := range m.takeApart() {
				r, item := part.(*Release), m.Items[k]
				if r.Key != item.Key || r.Token != item.Token || r.Fence != item.Fence || !r.Since.Equal(item.Since) || r.TTL != m.TTL {
					t.Errorf("part %d is %+v, want what %+v says", k, r, item)
				}
				r.To.Cast(Vote{Kind: Granted})
			}
			votes.are(t, Granted, Granted, Granted)
		})
	}
}
