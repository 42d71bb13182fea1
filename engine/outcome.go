package engine

import (
	"context"
	"errors"

	"github.com/holdfast-go/holdfast/lease"
)

// Outcome has one word for what came of an acquire, given its error: "granted",
// "held", "no_quorum", "refused" (ErrRefused), "timeout", "canceled", "closed", or
// "failed" for what is none of these. It is for metrics, which must not have a label for every error.
//
// An acquire that its context or WithWait ended is a timeout or was canceled, whatever
// stood in its way.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "granted"
	case stoppedBy(err, ErrClosed):
		return "closed"
	case stoppedBy(err, context.Canceled):
		return "canceled"
	case stoppedBy(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, ErrHeld):
		return "held"
	case errors.Is(err, ErrRefused):
		return "refused"
	case errors.Is(err, ErrNoQuorum):
		return "no_quorum"
	}
	return "failed"
}

// stoppedBy reports whether it was this that ended the waiting. An instance's own
// error may be a deadline, too.
func stoppedBy(err, stop error) bool {
	var q *QuorumError
	if errors.As(err, &q) {
		return q.stop != nil && errors.Is(q.stop, stop)
	}
	return errors.Is(err, stop)
}

// Outcomes are all words of Outcome. A metric that has all of its series from the
// start shows the first of each kind as a rise.
func Outcomes() []string {
	return []string{"granted", "held", "no_quorum", "refused", "timeout", "canceled", "closed", "failed"}
}

// causes are the ends of leases, and the words for them.
var causes = []struct {
	err  error
	word string
}{
	{lease.ErrReleased, "released"},
	{lease.ErrGone, "gone"},
	{lease.ErrDetached, "detached"},
	{lease.ErrStolen, "stolen"},
	{lease.ErrMaxHold, "max_hold"},
	{lease.ErrExpired, "expired"},
	{lease.ErrClosed, "closed"},
	{lease.ErrLost, "lost"},
}

// Causes are all words that Cause has for a lease that has ended.
func Causes() []string {
	words := make([]string, len(causes))
	for k, c := range causes {
		words[k] = c.word
	}
	return words
}

// Cause has one word for the end of a lease, given its error: "held" while it has
// not ended, then "released", "detached", "expired", "gone", "stolen", "max_hold" or
// "closed", or "lost" for what is none of these.
func Cause(err error) string {
	if err == nil {
		return "held"
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.word
		}
	}
	return "lost"
}
