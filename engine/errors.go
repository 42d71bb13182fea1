package engine

import (
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
	// may be another goroutine of the same engine, or the caller itself, or a lease
	// that this engine has detached: then the text says so.
	ErrHeld = errors.New("held by another")

	// ErrNoQuorum: too few instances could be asked, or confirmed in time.
	// Nothing is known about the resource's holder.
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
	Op        string          // "acquire", "extend", "release", …
	Resource  string          // "" for open; of several resources, the one that stands in the way, if any does
	Resources []string        // all of them, if they are several, as in AcquireAll; else nil
	Need      int             // votes that a quorum takes
	Votes     []instance.Vote // one an instance, in the engine's order

	reason  error  // the sentinel
	heldBy  string // by whom, when the holder is known; "" otherwise
	decided bool   // nobody waits any longer for the answers that are missing
	stop    error  // why the caller did not wait for the end: its context's error; nil otherwise
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

// Error is one line: what was wanted, what is missing, every vote, and what mends a refusal, where that is known.
func (q *QuorumError) Error() string {
	var b strings.Builder
	b.WriteString(q.Op)
	if q.Resources != nil {
		fmt.Fprintf(&b, " of %d:", len(q.Resources))
	}
	if q.Resource != "" {
		fmt.Fprintf(&b, " %q", q.Resource)
	}
	fmt.Fprintf(&b, ": %s (needs %d of %d: ", q.why(), q.Need, len(q.Votes))
	for i, v := range q.Votes {
		if i > 0 {
			b.WriteString("; ")
		}
		switch {
		case q.decided && v.Kind == instance.Unanswered: // "no answer yet" would be taken for a fault
			b.WriteString(v.Instance + ": not waited for")
		case q.Op == opening && v.Kind == instance.Granted: // nothing has been asked for
			b.WriteString(v.Instance + ": up")
		default:
			b.WriteString(v.String())
		}
	}
	b.WriteByte(')')
	if advices := q.advices(); len(advices) > 0 {
		b.WriteString("; advice: " + strings.Join(advices, "; "))
	}
	return b.String()
}

// advices is what mends the things that servers refuse for good, each once.
func (q *QuorumError) advices() (advices []string) {
	if !errors.Is(q.reason, ErrRefused) {
		return nil
	}
	for _, v := range q.Votes {
		if a := instance.Advice(v.Err); a != "" && !slices.Contains(advices, a) {
			advices = append(advices, a)
		}
	}
	return advices
}

// why says why the caller did not wait for the end, and what stood in the way: a
// lease may have ended for one reason before an instance names the same, or another.
func (q *QuorumError) why() string {
	reason := q.reason.Error()
	switch {
	case q.heldBy != "":
		reason = q.heldBy
	case q.stop != nil && q.stop.Error() == reason:
		return reason
	case errors.Is(q.stop, lease.ErrLost):
		reason = strings.TrimPrefix(reason, lease.ErrLost.Error()+": ")
	}
	if q.stop == nil {
		return reason
	}
	return q.stop.Error() + ": " + reason
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
		q.heldBy = e.heldHere(e.key(resource), votes)
	}
	return q
}

// heldHere says how this engine itself holds a key, or "" if it does not.
func (e *Engine) heldHere(key string, votes []instance.Vote) string {
	for _, v := range votes {
		switch {
		case v.Kind != instance.Held:
		case e.detached.has(v.Holder):
			return "detached by this engine"
		case e.tokens.made(v.Holder), e.shares(key, v.Holder):
			return "held by this engine itself"
		}
	}
	return ""
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
