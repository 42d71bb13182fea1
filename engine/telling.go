package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tell"
	"github.com/holdfast-go/holdfast/lease"
)

// telling calls the funcs of a Trace, and the Logger's handler, on goroutines of
// their own: a lease ends on time, and others are renewed, whatever those do.
// Three queues, so that one that hangs silences itself alone, and what is frequent
// does not push out what matters.
type telling struct {
	trace  *Trace
	log    *tell.Log
	events *tell.Queue[news]
	votes  *tell.Queue[vote] // and pipelines
}

// Untold is how many events were dropped, because a func of the user's was too
// slow, or did not return.
type Untold struct {
	Log   uint64 // lines of Config.Logger
	Trace uint64 // calls of Trace.Round, Woken, Renewed, Checked, Ended and Instance
	Votes uint64 // calls of Trace.Vote and Pipeline
}

const (
	// maxEvents is how many events may wait to be told, and as many ends of leases
	// and changes of instances besides.
	maxEvents = 8192
	// maxVotes is how many votes and pipelines may wait.
	maxVotes = 8192
	// gatherVotes is how long those are let come together: there may be a million a
	// second, and a goroutine that was woken for each would cost more than they do.
	gatherVotes = 10 * time.Millisecond
	// lastWords is how long Close waits for the user's funcs.
	lastWords = time.Second
)

// step is what news tells of.
type step uint8

const (
	roundOver step = iota
	waiterWoken
	leaseRenewed
	leaseChecked
	leaseEnded
	instanceChanged
)

// news is one call of a Trace. What its fields are depends on the step.
type news struct {
	step     step
	by       Waker
	yes      bool // granted, confirmed, lost
	resource string
	lease    *lease.Lease
	votes    []instance.Vote
	err      error // of the round; the cause of the end
	took     time.Duration
	health   *instance.Health
}

// vote is a call of Trace.Vote, or of Trace.Pipeline when it has messages.
type vote struct {
	instance string
	says     instance.Kind
	messages int
	took     time.Duration
}

// newTelling returns also the logger that takes the place of the user's. close
// ends what it starts.
func newTelling(trace *Trace, user *slog.Logger) (*telling, *slog.Logger) {
	t := &telling{trace: trace, log: tell.NewLog()}
	log := t.log.Logger(user)
	late := func(of string) func(uint64) {
		return func(dropped uint64) {
			log.Warn("a func of the Trace is too slow: calls were dropped", "of", of, "dropped", dropped)
		}
	}
	t.events = tell.New(tell.Config[news]{Tell: t.tell, Limit: maxEvents, Reserve: maxEvents, Dropping: late("trace")})
	t.votes = tell.New(tell.Config[vote]{Tell: t.vote, Limit: maxVotes, Gather: gatherVotes, Dropping: late("votes")})
	return t, log
}

// close waits until everything has been told, but not for a func that hangs.
func (t *telling) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	t.votes.Close(ctx)
	t.events.Close(ctx)
	t.log.Close(ctx) // last: it says what the others dropped
}

func (t *telling) untold() Untold {
	return Untold{Log: t.log.Dropped(), Trace: t.events.Dropped(), Votes: t.votes.Dropped()}
}

// observer tells of what the instances do.
func (t *telling) observer() instance.Observer {
	o := instance.Observer{Logger: t.log.Logger}
	if t.trace.Instance != nil {
		o.State = func(h instance.Health) { t.events.PutReserved(news{step: instanceChanged, health: &h}) }
	}
	if t.trace.Pipeline != nil {
		o.Pipeline = func(name string, messages int, took time.Duration) {
			t.votes.Put(vote{instance: name, messages: messages, took: took})
		}
	}
	return o
}

// tell calls the func that news is for.
func (t *telling) tell(n news) {
	switch n.step {
	case roundOver:
		t.trace.Round(RoundInfo{Resource: n.resource, Votes: n.votes, Took: n.took, Err: n.err})
	case waiterWoken:
		t.trace.Woken(WokenInfo{Resource: n.resource, By: n.by, Took: n.took, Granted: n.yes})
	case leaseRenewed:
		t.trace.Renewed(RenewedInfo{Lease: n.lease, Margin: n.took, Confirmed: n.yes})
	case leaseChecked:
		t.trace.Checked(CheckedInfo{Lease: n.lease, Took: n.took, Lost: n.yes})
	case leaseEnded:
		t.trace.Ended(EndedInfo{Lease: n.lease, Cause: n.err, Held: n.took})
	case instanceChanged:
		t.trace.Instance(*n.health)
	}
}

func (t *telling) vote(v vote) {
	if v.messages > 0 {
		t.trace.Pipeline(PipelineInfo{Instance: v.instance, Messages: v.messages, Took: v.took})
	} else {
		t.trace.Vote(VoteInfo{Instance: v.instance, Kind: v.says})
	}
}

func (t *telling) voted(name string, says instance.Kind) {
	if t.trace.Vote != nil {
		t.votes.Put(vote{instance: name, says: says})
	}
}

func (t *telling) round(resource string, votes []instance.Vote, start time.Time, err error) {
	if t.trace.Round != nil {
		t.events.Put(news{step: roundOver, resource: resource, votes: votes, took: time.Since(start), err: err})
	}
}

func (t *telling) woken(resource string, by Waker, took time.Duration, granted bool) {
	if t.trace.Woken != nil {
		t.events.Put(news{step: waiterWoken, resource: resource, by: by, took: took, yes: granted})
	}
}

func (t *telling) renewed(l *lease.Lease, margin time.Duration, confirmed bool) {
	if t.trace.Renewed != nil {
		t.events.Put(news{step: leaseRenewed, lease: l, took: margin, yes: confirmed})
	}
}

func (t *telling) checked(l *lease.Lease, took time.Duration, lost bool) {
	if t.trace.Checked != nil {
		t.events.Put(news{step: leaseChecked, lease: l, took: took, yes: lost})
	}
}

func (t *telling) ended(l *lease.Lease, cause error, since time.Time) {
	if t.trace.Ended != nil {
		t.events.PutReserved(news{step: leaseEnded, lease: l, err: cause, took: time.Since(since)})
	}
}
