package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/testkit"
)

func acquireTo(to Caster) *Acquire { return &Acquire{Key: "k", Token: "t", TTL: time.Second, To: to} }

func releaseTo(to Caster, token string, ttl time.Duration) *Release {
	return &Release{Key: "k", Token: token, TTL: ttl, To: to}
}

// post is what Instance.Post does.
func post(m *mailbox, c Command) {
	reset(c)
	m.put("i", c)
}

func TestMessagesAreTakenInTheOrderOfTheirPosts(t *testing.T) {
	m := newMailbox(10)
	var posted []Command
	for range 10 {
		c := acquireTo(new(votes))
		posted = append(posted, c)
		post(m, c)
	}
	if m.depth() != 10 {
		t.Errorf("%d wait", m.depth())
	}
	taken, ok := m.take(t.Context(), nil)
	if !ok || !slices.Equal(taken, posted) {
		t.Error("not what was posted, in its order")
	}
}

func TestFullMailboxIsBusyAndKeepsItsSecondHalfForUrgentMessages(t *testing.T) {
	const limit = 4
	m := newMailbox(limit)
	asks, urgent := new(votes), new(votes)
	for range limit {
		post(m, acquireTo(asks))
	}
	post(m, acquireTo(asks))
	post(m, &Inspect{Key: "k", To: asks})
	if got := asks.kinds(); !slices.Equal(got, []Kind{Busy, Busy}) {
		t.Errorf("a full mailbox answers %v", got)
	}
	for n := range limit {
		if n%2 == 0 {
			post(m, releaseTo(urgent, "t", time.Second))
		} else {
			post(m, &Renew{Items: []Renewal{{Key: "k"}}, To: urgent})
		}
	}
	if got := urgent.kinds(); len(got) != 0 {
		t.Errorf("urgent messages are answered %v in the second half", got)
	}
	post(m, releaseTo(urgent, "t", time.Second))
	post(m, &Renew{Items: []Renewal{{Key: "k"}}, To: urgent})
	if got := urgent.kinds(); !slices.Equal(got, []Kind{Busy, Busy}) {
		t.Errorf("beyond both halves: %v", got)
	}
	if m.depth() != 2*limit {
		t.Errorf("%d wait", m.depth())
	}
}

func TestPostNeverBlocks(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) { // a block would be a deadlock here
		m := newMailbox(2)
		c := new(votes)
		for range 100 {
			post(m, acquireTo(c))
		}
		if n := len(c.cast()); n != 98 {
			t.Errorf("%d refused", n)
		}
	})
}

func TestNothingIsLostAtCloseAndEveryMessageIsAnsweredOnce(t *testing.T) {
	for range 50 {
		m := newMailbox(1 << 16)
		const posters, each = 8, 250
		var casters [posters][each]votes
		var posting sync.WaitGroup
		for p := range posters {
			posting.Go(func() {
				for n := range each {
					switch n % 3 {
					case 0:
						post(m, acquireTo(&casters[p][n]))
					case 1:
						post(m, releaseTo(&casters[p][n], "t", time.Second))
					case 2:
						post(m, &Inspect{Key: "k", To: &casters[p][n]})
					}
				}
			})
		}
		served := make(chan struct{})
		go func() { // the actor
			defer close(served)
			for {
				batch, ok := m.take(context.Background(), nil)
				if !ok {
					return
				}
				for n, c := range batch {
					c.refuse(Vote{Kind: Free}) // stands for being served
					if n == 100 {
						m.close()
					}
				}
			}
		}()
		posting.Wait()
		m.close()
		<-served
		for p := range posters {
			for n := range each {
				if got := casters[p][n].cast(); len(got) != 1 {
					t.Fatalf("message %d of poster %d got %d answers", n, p, len(got))
				} else if v := got[0]; v.Kind != Free && (v.Kind != Unreachable || !errors.Is(v.Err, errClosed)) {
					t.Fatalf("it got %v", v)
				}
			}
		}
	}
}

func TestTakeEndsWithTheContext(t *testing.T) {
	m := newMailbox(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := m.take(ctx, nil); ok {
		t.Error("it took something from an empty mailbox")
	}
}

func TestTakeServesWhatIsThereBeforeItEnds(t *testing.T) {
	m := newMailbox(2)
	post(m, acquireTo(new(votes)))
	m.close()
	if batch, ok := m.take(t.Context(), nil); !ok || len(batch) != 1 {
		t.Error("what was accepted before the close is lost")
	}
	if _, ok := m.take(t.Context(), nil); ok {
		t.Error("a closed and empty mailbox has something")
	}
}

func TestRefusingMailboxAnswersAtTheDoorUntilNothingIsOwed(t *testing.T) {
	m := newMailbox(10)
	waiting, door := new(votes), new(votes)
	post(m, acquireTo(waiting))
	post(m, releaseTo(waiting, "waiting", time.Minute))
	down := Vote{Instance: "i", Kind: Unreachable}
	for _, c := range m.refuse(down) {
		c.refuse(down)
	}
	post(m, acquireTo(door))
	post(m, releaseTo(door, "door", time.Minute))
	for _, c := range []*votes{waiting, door} {
		if got := c.kinds(); !slices.Equal(got, []Kind{Unreachable, Unreachable}) {
			t.Errorf("answered %v", got)
		}
	}

	owed := m.takeDebts()
	if len(owed) != 2 || owed[0].token != "waiting" || owed[1].token != "door" {
		t.Fatalf("owed %v", owed)
	}
	post(m, acquireTo(door))
	if got := door.kinds(); got[len(got)-1] != Unreachable {
		t.Error("it let a message in while it owed")
	}
	post(m, releaseTo(door, "meanwhile", time.Minute)) // while the others are being paid
	m.oweAgain(owed[1:])                               // and one could not be
	owed = m.takeDebts()
	if len(owed) != 2 || owed[0].token != "door" || owed[1].token != "meanwhile" {
		t.Fatalf("owed %v", owed)
	}
	if owed = m.takeDebts(); len(owed) != 0 {
		t.Fatalf("owed %v", owed)
	}
	in := new(votes)
	post(m, acquireTo(in))
	if len(in.cast()) != 0 || m.depth() != 1 {
		t.Error("it is not open though nothing is owed")
	}
}

// Who only looks is told what the door would say: of what has begun since, as long as everything is refused.
func TestWhoOnlyLooksIsToldWhatTheDoorWouldSay(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		i := bare("i")
		i.mailbox = newMailbox(10)
		before := time.Now()
		time.Sleep(time.Second)
		is := func(when string, want bool) {
			t.Helper()
			v, absent := i.Absent(time.Now())
			if absent != want || want && v.Kind != TimedOut {
				t.Errorf("%s: absent %v: %v, want %v", when, absent, v, want)
			}
			for _, since := range []time.Time{before, {}} {
				if v, absent := i.Absent(since); absent {
					t.Errorf("%s: absent for what has begun at %v: %v", when, since, v)
				}
			}
		}
		is("it is up", false)
		i.mailbox.refuse(Vote{Kind: Unreachable})
		time.Sleep(time.Second)
		i.mailbox.refuse(Vote{Kind: TimedOut}) // it is still down, for another reason
		is("it is down", true)
		post(i.mailbox, releaseTo(new(votes), "t", time.Minute))
		i.mailbox.takeDebts()
		is("something is owed", true)
		i.mailbox.takeDebts()
		is("it is up again", false)
		i.mailbox.refuse(Vote{Kind: TimedOut})
		time.Sleep(time.Second)
		is("it is down again", true)
		i.mailbox.close()
		is("it is closed", false)
	})
}

func TestDebtsAreBoundedAndThoseThatExpiredGiveWay(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		m := newMailbox(1)
		m.refuse(Vote{Kind: Unreachable})
		c := new(votes)
		for n := range maxDebts {
			ttl := time.Hour
			if n < 100 {
				ttl = time.Second
			}
			post(m, releaseTo(c, "t", ttl))
		}
		post(m, releaseTo(c, "one too many", time.Hour))
		if n := len(m.owed); n != maxDebts {
			t.Fatalf("%d are owed", n)
		}
		time.Sleep(time.Second)
		post(m, releaseTo(c, "in time", time.Hour))
		if n := len(m.owed); n != maxDebts-99 || m.owed[n-1].token != "in time" {
			t.Errorf("%d are owed", n)
		}
	})
}

// A server that refuses releases is owed more and more of them. New questions find room all the same,
// and all that is owed is sent again.
func TestWhatIsOwedLeavesRoomForNewQuestions(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		const limit = 16
		m := newMailbox(limit)
		owed := make(map[string]bool)
		for n := range 5 * limit {
			token := fmt.Sprint(n)
			owed[token] = true
			m.noteDebt(releaseTo(new(votes), token, time.Hour))
		}
		asks := new(votes)
		for range 5 * limit {
			m.repay()
			post(m, acquireTo(asks))
			if got := asks.kinds(); len(got) != 0 {
				t.Fatalf("with %d owed, of %d, a new question is answered %v, want it to wait", len(owed), 5*limit, got)
			}
			taken, _ := m.take(t.Context(), nil)
			for _, c := range taken {
				if r, ok := c.(*Release); ok {
					delete(owed, r.Token)
				}
			}
			time.Sleep(payEvery)
		}
		if len(owed) != 0 || len(m.owed) != 0 {
			t.Errorf("%d have not been sent again, and %d are still owed, want none", len(owed), len(m.owed))
		}
	})
}

func TestOnlyAReleaseThatMayMatterIsOwed(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		unsent, wasSent := acquireTo(new(votes)), acquireTo(new(votes))
		wasSent.send()
		undo := func(a *Acquire) *Release {
			r := releaseTo(new(votes), "t", time.Minute)
			r.Undo = a
			reset(r)
			return r
		}
		plain := releaseTo(new(votes), "t", time.Minute)
		reset(plain)
		for _, c := range []struct {
			name string
			cmd  Command
			want bool
		}{
			{"a release", plain, true},
			{"the undo of what was sent", undo(wasSent), true},
			{"the undo of what was not sent", undo(unsent), false},
			{"an acquire", unsent, false},
			{"a renewal", &Renew{}, false},
			{"a look", &Inspect{}, false},
		} {
			d, owed := c.cmd.debt()
			if owed != c.want {
				t.Errorf("%s: owed %v", c.name, owed)
			}
			if owed && (d.key != "k" || d.token != "t" || !d.until.Equal(time.Now().Add(time.Minute))) {
				t.Errorf("%s: got the debt %v, want that of k and t, for a minute", c.name, d)
			}
		}
	})
}

// The actor sends an acquire while its caller has left and undoes it, and the
// mailbox has no room for the undo. Whatever the order, the undo is owed if the
// acquire is sent. Under the race detector this is also a test of who may read what.
func TestUndoThatFindsTheMailboxFullIsOwedIfItsAcquireIsSent(t *testing.T) {
	i := bare("i")
	for n := range 2000 {
		m := newMailbox(1)
		post(m, releaseTo(new(votes), "a", time.Minute))
		post(m, releaseTo(new(votes), "b", time.Minute)) // full
		a := acquireTo(new(votes))
		a.GiveUp = time.Now().Add(time.Hour)
		reset(a)
		undo := releaseTo(new(votes), "t", time.Minute)
		undo.Undo = a

		var sent bool
		var both sync.WaitGroup
		sides := []func(){
			func() { _, sent = a.appendCommand(&sending{actor: i.actor, now: time.Now()}, nil) },
			func() { post(m, undo) },
		}
		both.Go(sides[n%2]) // neither is always the first
		both.Go(sides[1-n%2])
		both.Wait()
		owed := slices.ContainsFunc(m.owed, func(d debt) bool { return d.token == "t" })
		if sent && !owed {
			t.Fatal("the acquire is sent and its undo is neither posted nor owed")
		}
	}
}

func TestWakeUpIsNeverLost(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) { // a lost wake-up would be a deadlock here
		m := newMailbox(1 << 12)
		const messages = 1000
		c := new(votes)
		go func() {
			for n := range messages {
				post(m, acquireTo(c))
				if n%7 == 0 {
					time.Sleep(time.Nanosecond)
				}
			}
			m.close()
		}()
		taken := 0
		var into []Command
		for {
			batch, ok := m.take(t.Context(), into)
			if !ok {
				break
			}
			taken += len(batch)
			into = batch
		}
		if taken != messages {
			t.Errorf("%d taken", taken)
		}
	})
}

func TestWithdrawnAcquireThatHasNotBeenSentIsNotSentAndNeitherIsItsUndo(t *testing.T) {
	a := acquireTo(new(votes))
	a.GiveUp = time.Now().Add(time.Hour)
	undo := releaseTo(new(votes), "t", time.Minute)
	undo.Undo = a
	m := newMailbox(2)
	post(m, a)
	post(m, undo)
	s := &sending{actor: bare("i").actor, now: time.Now()}
	if _, ok := a.appendCommand(s, nil); ok {
		t.Error("the acquire is sent")
	}
	if _, ok := undo.appendCommand(s, nil); ok {
		t.Error("its undo is sent")
	}
	if got := a.To.(*votes).kinds(); !slices.Equal(got, []Kind{Unanswered}) {
		t.Errorf("the acquire is answered %v", got)
	}
	if got := undo.To.(*votes).kinds(); !slices.Equal(got, []Kind{Gone}) {
		t.Errorf("the undo is answered %v", got)
	}
}

func TestPosterSendsBySelfOnlyWhatCannotBlock(t *testing.T) {
	small, large := acquireTo(new(votes)), acquireTo(new(votes))
	large.Key = string(make([]byte, maxDirectText+1))
	for _, c := range []struct {
		name    string
		prepare func(*mailbox)
		message Command
		want    bool
	}{
		{"nothing is under way", func(*mailbox) {}, small, true},
		{"the message is large", func(*mailbox) {}, large, false},
		{"a renewal may be large", func(*mailbox) {}, &Renew{Items: []Renewal{{Key: "k"}}, To: new(votes)}, false},
		{"writing may block", func(m *mailbox) { m.flow.direct = false }, small, false},
		{"something is under way", func(m *mailbox) { m.flow.pipelines = []*pipeline{{sent: []Command{small}}} }, small, false},
		{"somebody else sends", func(m *mailbox) { m.flow.sender = theActor }, small, false},
		{"something waits", func(m *mailbox) { m.queue = []Command{small} }, small, false},
		{"the link is halted", func(m *mailbox) { m.flow.halted = true }, small, false},
	} {
		m := newMailbox(10)
		m.flow.direct = true
		c.prepare(m)
		if got := m.put("i", c.message); got != c.want {
			t.Errorf("%s: the poster is to send: %v", c.name, got)
		}
	}
}
