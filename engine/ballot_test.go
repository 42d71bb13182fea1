package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

func TestQuorumIsMoreThanHalf(t *testing.T) {
	for n := 1; n <= 100; n++ {
		if need := quorum(n); 2*need <= n || 2*(need-1) > n {
			t.Errorf("the quorum of %d is %d", n, need)
		}
	}
}

// Both are so when the caller looks: the ballot is decided, and its context has ended. A
// select takes either.
func TestADecidedBallotGivesACancelledCallerNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for try := range 100 {
		b := new(ballot)
		b.open([]*instance.Instance{nil})
		b.cast(0, instance.Vote{Kind: instance.Granted}, true)
		if decided, stop := b.await(cancelled); !decided || !errors.Is(stop, context.Canceled) {
			t.Fatalf("try %d: decided %v, and to stop because of %v, want it decided, and %v", try, decided, stop, context.Canceled)
		}
	}
}

func TestTallyIsDecidedAsSoonAsItCanBeAndNeverChanges(t *testing.T) {
	for n := 1; n <= 7; n++ {
		need := n/2 + 1
		for ballots := range 1 << n { // every way to vote, in this order
			c := tally{voters: n, need: quorum(n)}
			yes, no := 0, 0
			var was string
			for voter := range n {
				if ballots>>voter&1 == 1 {
					yes++
					c.count(true)
				} else {
					no++
					c.count(false)
				}
				if won := yes >= need; c.won() != won {
					t.Fatalf("N=%d, %d yes, %d no: won %v", n, yes, no, c.won())
				}
				if lost := yes+(n-yes-no) < need; c.lost() != lost {
					t.Fatalf("N=%d, %d yes, %d no: lost %v", n, yes, no, c.lost())
				}
				if c.decided() != (c.won() || c.lost()) || c.won() && c.lost() || c.all() != (voter == n-1) {
					t.Fatalf("N=%d, %d yes, %d no: %+v", n, yes, no, c)
				}
				is := fmt.Sprint(c.won(), c.lost())
				if was != "" && is != was {
					t.Fatalf("N=%d: decided %s and then %s", n, was, is)
				}
				if c.decided() {
					was = is
				}
			}
			if !c.decided() {
				t.Fatalf("N=%d, %d yes, %d no: not decided", n, yes, no)
			}
		}
	}
}

// instances are n that are never run.
func instances(t *testing.T, n int) []*instance.Instance {
	t.Helper()
	var all []*instance.Instance
	for k := range n {
		i, err := instance.Dial(fmt.Sprintf("localhost:%d", k+1), instance.Config{})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		all = append(all, i)
	}
	return all
}

func TestBallotWakesItsCallerOnceHoweverManyVotesComeLater(t *testing.T) {
	for n := 1; n <= 7; n++ {
		var b ballot
		members := instances(t, n)
		for round := range 200 { // it is used again and again
			b.open(members)
			var casting sync.WaitGroup
			for seat := range n {
				yes := round%2 == 0
				casting.Go(func() { b.cast(seat, instance.Vote{Kind: instance.Granted}, yes) })
			}
			<-b.done
			if won := round%2 == 0; b.won() != won {
				t.Fatalf("N=%d: won %v", n, !won)
			}
			casting.Wait()
			if len(b.done) != 0 {
				t.Fatalf("N=%d: woken twice", n)
			}
			if votes := b.result(); len(votes) != n || votes[0].Kind != instance.Granted {
				t.Fatalf("N=%d: %v", n, votes)
			}
		}
	}
}

func TestBallotThatItsCallerLeftWakesNobody(t *testing.T) {
	var b ballot
	members := instances(t, 3)
	for range 500 {
		b.open(members)
		var casting sync.WaitGroup
		for seat := range 3 {
			casting.Go(func() { b.cast(seat, instance.Vote{Kind: instance.Granted}, true) })
		}
		b.leave() // before, during or after the decision
		casting.Wait()
		if len(b.done) != 0 {
			t.Fatal("a wake-up is left over")
		}
	}
}

func TestBallotNamesWhoHasNotAnswered(t *testing.T) {
	var b ballot
	b.open(instances(t, 3))
	b.cast(1, instance.Vote{Instance: "other", Kind: instance.Held}, false)
	votes := b.result()
	if votes[0].Instance != "localhost:1" || votes[0].Kind != instance.Unanswered || votes[1].Kind != instance.Held {
		t.Errorf("got %v, want localhost:1 unanswered and then held", votes)
	}
	votes[0].Kind = instance.Granted
	if b.result()[0].Kind != instance.Unanswered {
		t.Error("the result is not a copy")
	}
}

func TestLineIsFirstComeFirstServedWhateverIsCancelled(t *testing.T) {
	for range 300 {
		l := newLines(1 << 20)
		var line []*waiter
		head := func() {
			t.Helper()
			for n, w := range line {
				told := w.head == nil || len(w.head) == 1
				if told != (n == 0) {
					t.Fatalf("the waiter at place %d was told that it is the head: %v", n, told)
				}
			}
			if l.waiting != len(line) {
				t.Fatalf("%d wait, counted %d", len(line), l.waiting)
			}
			if first := l.heads["r"]; len(line) == 0 && first != nil || len(line) > 0 && (first != line[0] || first.last != line[len(line)-1]) {
				t.Fatal("the line's head or its last is wrong")
			}
		}
		for range 100 {
			if len(line) == 0 || rand.N(5) < 3 {
				line = append(line, l.join("r"))
			} else {
				gone := rand.N(len(line))
				l.leave(line[gone], false, nil)
				line = append(line[:gone:gone], line[gone+1:]...)
			}
			head()
		}
		for len(line) > 0 {
			l.leave(line[0], true, nil)
			line = line[1:]
			head()
		}
		if len(l.heads) != 0 {
			t.Fatal("an empty line is remembered")
		}
	}
}

func TestLinesAreApartAndBoundedTogether(t *testing.T) {
	l := newLines(2)
	a, b := l.join("a"), l.join("b")
	if a.head != nil || b.head != nil {
		t.Error("the first of a line waits to be the head")
	}
	if l.join("c") != nil || l.join("a") != nil {
		t.Error("more wait than may")
	}
	l.leave(a, false, nil)
	if l.join("c") == nil {
		t.Error("a place that became free is not given")
	}
}

func TestReleaseWakesTheHeadEvenIfItDoesNotListenYet(t *testing.T) {
	l := newLines(10)
	l.released("r") // nobody there
	w, next := l.join("r"), l.join("r")
	l.released("r")
	l.released("r") // once is enough
	if len(w.own.wake) != 1 {
		t.Fatal("the wake-up that came before listening is lost")
	}
	<-w.own.wake
	l.released("r")
	if len(w.own.wake) != 1 || len(next.own.wake) != 0 {
		t.Error("not the head, and only the head, is woken")
	}
	l.leave(w, false, nil)
	l.leave(next, false, nil)
	again := l.join("other") // a waiter that is used again remembers nothing
	if len(again.own.wake) != 0 {
		t.Error("an earlier wake-up came back")
	}
}

func TestQuorumErrorIsOneLineThatNamesWhatIsMissing(t *testing.T) {
	why := errors.New("OOM command not allowed")
	q := &QuorumError{
		Op: "acquire", Resource: "line\nbreak", Need: 2, reason: ErrHeld,
		Votes: []instance.Vote{
			{Instance: "a", Kind: instance.Granted},
			{Instance: "b", Kind: instance.Held, Holder: "ABCDEFGHIJKLMNOP", Left: time.Second},
			{Instance: "c", Kind: instance.Refused, Err: why},
		},
	}
	text := q.Error()
	if want := `acquire "line\nbreak": held by another (needs 2 of 3: a: granted; b: held by "ABCD…" for another 1s; c: refused (OOM command not allowed))`; text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	for _, text := range []string{text, fmt.Sprintf("%v", q), fmt.Sprintf("%+v", q), fmt.Sprintf("%#v", q)} {
		if strings.ContainsAny(text, "\n\r") || strings.Contains(text, "ABCDEFGH") {
			t.Errorf("want one line without a whole token, got %s", text)
		}
	}
	if !errors.Is(q, ErrHeld) || !errors.Is(q, why) || errors.Is(q, ErrNoQuorum) {
		t.Error("it is not what it holds")
	}
	q.Votes[2] = instance.Vote{Instance: "c"}
	for decided, want := range map[bool]string{false: "; c: no answer yet)", true: "; c: not waited for)"} {
		if q.decided = decided; !strings.HasSuffix(q.Error(), want) {
			t.Errorf("decided: %v, %s", decided, q.Error())
		}
	}
	q.Op, q.Resource = "open", ""
	if text := q.Error(); !strings.HasPrefix(text, "open: held by another (needs 2 of 3: a: up; b: held by") {
		t.Errorf("got %q, want who is up and by whom it is held", text)
	}
	if text := (&QuorumError{Op: "open", Need: 1, reason: ErrNoQuorum}).Error(); text != "open: no quorum (needs 1 of 0: )" {
		t.Errorf("got %q, want %q", text, "open: no quorum (needs 1 of 0: )")
	}
}
