package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// What stood in the way, for errors.Is. The error that holds them is usually a
// *QuorumError, which says what each instance voted.
var (
	// ErrHeld: somebody else holds the resource, or contends for it right now. That
	// may be another goroutine of the same engine, or the caller itself: then the
	// text says so.
	ErrHeld = errors.New("held by another")

	// ErrNoQuorum: too few instances could be asked, or confirmed in time.
	// Nothing is known about who holds the resource.
	ErrNoQuorum = errors.New("no quorum")

	// ErrRefused: so many instances refuse, for a reason that waiting does not mend,
	// that there can be no quorum: a missing permission, a wrong password, a key under
	// that name that is no lock. The votes have the reasons. It is an ErrNoQuorum, too.
	// When somebody has mended it, the same may be tried again.
	ErrRefused = fmt.Errorf("%w: refused, and waiting does not mend it", ErrNoQuorum)

	// ErrClosed: the engine is closed.
	ErrClosed = lease.ErrClosed
)

// QuorumError says that an operation did not get its quorum, and why, instance
// by instance.
type QuorumError struct {
	Op       string          // "acquire", "extend", "release", …
	Resource string          // "" for open
	Need     int             // votes that a quorum takes
	Votes    []instance.Vote // one an instance, in the engine's order

	reason error // the sentinel
	own    bool  // whoever holds the resource does so in the engine that asked
	stop   error // why the caller did not wait for the end: its context's error; nil otherwise
}

// Unwrap returns the sentinel (ErrHeld, ErrNoQuorum, ErrRefused or a lease's end), the
// context's error if that ended the waiting, and the instances' own errors.
func (q *QuorumError) Unwrap() []error {
	errs := []error{q.reason}
	if q.stop != nil {
		errs = append(errs, q.stop)
	}
	for _, v := range q.Votes {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	return errs
}

// Error is one line: what was wanted, what is missing, and every vote.
func (q *QuorumError) Error() string {
	var b strings.Builder
	b.WriteString(q.Op)
	if q.Resource != "" {
		fmt.Fprintf(&b, " %q", q.Resource)
	}
	if q.stop != nil {
		fmt.Fprintf(&b, ": %v", q.stop)
	}
	reason := q.reason.Error()
	if q.own {
		reason = "held by this engine itself"
	}
	fmt.Fprintf(&b, ": %s (needs %d of %d: ", reason, q.Need, len(q.Votes))
	for i, v := range q.Votes {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.String())
	}
	b.WriteByte(')')
	return b.String()
}

// ended returns why ctx ended: its error, and the cause if that says more.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == cause { //nolint:errorlint // the very same value
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// refusal explains a round of acquire that did not get its quorum. It was held
// if somebody held it and those that can vote would have been enough. An
// instance that has not answered counts as one that can when the round was
// decided without it, but not when the caller left: "held" is never said for
// want of an answer.
func (e *Engine) refusal(op, resource string, votes []instance.Vote, decided bool) *QuorumError {
	q := &QuorumError{Op: op, Resource: resource, Need: e.need, Votes: votes, reason: ErrNoQuorum}
	if e.refused(votes) {
		q.reason = ErrRefused
		return q
	}
	able, held := 0, false
	for _, v := range votes {
		switch v.Kind {
		case instance.Held:
			held = true
			able++
		case instance.Granted, instance.Stale, instance.Ahead:
			able++
		case instance.Unanswered:
			if decided {
				able++
			}
		}
	}
	if held && able >= e.need {
		q.reason = ErrHeld
		q.own = slices.ContainsFunc(votes, func(v instance.Vote) bool {
			return v.Kind == instance.Held && (e.tokens.made(v.Holder) || e.shares(e.key(resource), v.Holder))
		})
	}
	return q
}

// refused reports whether so many instances refuse for good that the others are no
// quorum.
func (e *Engine) refused(votes []instance.Vote) bool {
	left := len(votes)
	for _, v := range votes {
		if v.Kind == instance.Refused && instance.IsRefusal(v.Err) {
			left--
		}
	}
	return left < e.need
}

// joined is several errors in one line. Unwrap has all of them, the line no more than a person reads: an engine that
// could not release a million leases says so in less than a million names.
type joined []error

// tellable is how many errors the line has.
const tellable = 16

// join returns the errors that are not nil as one, or nil if there is none.
func join(errs ...error) error {
	var j joined
	for _, err := range errs {
		if err != nil {
			j = append(j, err)
		}
	}
	switch len(j) {
	case 0:
		return nil
	case 1:
		return j[0]
	}
	return j
}

func (j joined) Error() string {
	told := j[:min(len(j), tellable)]
	texts := make([]string, len(told), len(told)+1)
	for i, err := range told {
		texts[i] = err.Error()
	}
	if more := len(j) - len(told); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }
