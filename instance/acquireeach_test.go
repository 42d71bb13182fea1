package instance

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// eachVotes are the votes on the items of an AcquireEach, in the order of the casts.
type eachVotes [][]Kind

func (e eachVotes) CastEach(which []int, votes []Vote) {
	for k := range e {
		at := k
		if which != nil {
			if at = slices.Index(which, k); at < 0 {
				continue
			}
		}
		e[k] = append(e[k], votes[min(at, len(votes)-1)].Kind)
	}
}

// fiveAsked is a message about five locks that was sent whole: two were granted, the third was refused, and then the replies end.
func fiveAsked() (*AcquireEach, eachVotes, *sending) {
	votes := make(eachVotes, 5)
	m := &AcquireEach{Items: make([]EachItem, 5), TTL: time.Second, To: votes}
	for k := range m.Items {
		m.Items[k] = EachItem{Key: fmt.Sprintf("key-%d", k), Token: "token"}
	}
	m.Text = EncodeAcquires(nil, m.Items, m.TTL)
	reset(m)
	now := time.Now()
	m.GiveUp = now.Add(time.Second)
	s := &sending{actor: &actor{Instance: &Instance{name: "redis"}}, now: now}
	m.appendCommand(s, nil)
	for _, kind := range []resp.Kind{resp.Status, resp.Status, resp.Nil} {
		m.readReply(s, &resp.Reply{Kind: kind})
	}
	return m, votes, s
}

func (e eachVotes) are(t *testing.T, wants ...Kind) {
	t.Helper()
	for k, want := range wants {
		if len(e[k]) != 1 || e[k][0] != want {
			t.Errorf("item %d: the votes are %v, want one: %v", k, e[k], want)
		}
	}
}

func TestAcquireEachThatIsCutOffIsAskedForTheRest(t *testing.T) {
	m, votes, s := fiveAsked()
	s.again = true
	if m.goesWhole(s) {
		t.Error("what is sent again goes whole: then a lock that it has taken itself would be another's")
	}
	parts := m.takeApart("redis")
	if len(parts) != 2 {
		t.Fatalf("%d parts, want those two that have not been answered", len(parts))
	}
	for k, p := range parts {
		a := p.(*Acquire)
		if want := fmt.Sprintf("key-%d", 3+k); a.Key != want || a.Token != "token" || a.TTL != time.Second || !a.GiveUp.Equal(m.GiveUp) {
			t.Errorf("part %d asks for %q with %q", k, a.Key, a.Token)
		}
		a.To.Cast(Vote{Kind: InQuarantine})
	}
	votes.are(t, Granted, Granted, Held, InQuarantine, InQuarantine)
}

func TestAcquireEachThatIsCutOffForGoodAnswersAll(t *testing.T) {
	m, votes, _ := fiveAsked()
	m.refuse(Vote{Kind: TimedOut})
	votes.are(t, Granted, Granted, Held, TimedOut, TimedOut)
	if !m.Left(TimedOut) || m.Withdraw() {
		t.Error("it was sent, and says that it has left nothing")
	}
}

func TestAcquireEachAnswersWhatTheServerRefusesOneByOne(t *testing.T) {
	m, votes, s := fiveAsked()
	s.actor.mailbox = newMailbox(1)
	m.refuseNext(s, Vote{Kind: Refused, Err: errors.New("OOM")})
	m.refuseNext(s, Vote{Kind: Refused, Err: errors.New("OOM")})
	votes[2] = append(votes[2], Held) // who has it is being asked
	votes.are(t, Granted, Granted, Held, Refused, Refused)
	if q, ok := s.actor.mailbox.queue[0].(*holdersQuestion); !ok || q.each != m {
		t.Errorf("%T is posted, want the question who has it", s.actor.mailbox.queue[0])
	}
}

func TestAcquireEachThatIsWithdrawnIsNotSent(t *testing.T) {
	m, votes, s := fiveAsked()
	reset(m)
	if !m.Left(Unanswered) || m.Left(Unreachable) {
		t.Error("one that waits may yet leave something, and one that was refused at the door has not")
	}
	if !m.Withdraw() {
		t.Error("it cannot be withdrawn, though it has not been sent")
	}
	if out, sent := m.appendCommand(s, nil); sent || len(out) > 0 {
		t.Error("it was withdrawn, and is sent")
	}
	votes.are(t, Unanswered, Unanswered, Unanswered, Unanswered, Unanswered)
}
