package engine

import (
	"context"
	"errors"
	"testing"
)

// Who is left something knows that it is the head, also when it had not heard of
// its turn yet; and outside of event nobody is promised anything, since it would
// not be received: the waiter would take it along into another Acquire.
func TestNothingIsPromisedToWhoDoesNotWait(t *testing.T) {
	e := &Engine{cfg: Config{Trace: new(Trace)}, lines: newLines(10), closing: context.Background()}
	anything := func(*request) bool { return true }
	for range 200 {
		first, w := e.lines.join("r"), e.lines.join("r")
		c := contest{engine: e, request: new(request), waiter: w}
		e.lines.accept(w, c.request)
		first.served = true
		e.lines.leave(first) // it is w's turn, and before w hears of it
		if r, heir := e.lines.heir("r", anything); r != nil {
			heir <- bequest{question: question{attempt: new(attempt)}}
		} else {
			t.Fatal("the head is not promised anything")
		}
		l, what, err := c.event(t.Context(), watch{}, nil)
		if l != nil || err != nil || what != asked || c.request.asked.attempt == nil {
			t.Fatalf("%v, %v, %v: it has not taken its question", l, what, err)
		}
		if r, _ := e.lines.heir("r", anything); r != nil {
			t.Fatal("it is promised something while it does not wait")
		}
		over, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if _, what, err := c.event(over, watch{}, nil); what != none || !errors.Is(err, gone) {
			t.Fatalf("%v, %v: it hears of its turn again", what, err)
		}
		if r, _ := e.lines.heir("r", anything); r != nil {
			t.Fatal("it is promised something after it has given up")
		}
		e.lines.leave(w)
	}
}
