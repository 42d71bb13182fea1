package engine

import (
	"context"
	"errors"
	"testing"
)

// A waiter that is left something knows that it is the head, also when it has not
// been told so; and outside of event it is promised nothing, since that would
// not be received: the waiter would take it along into another Acquire.
func TestNothingIsPromisedToAWaiterThatDoesNotWait(t *testing.T) {
	e := &Engine{cfg: Config{Trace: new(Trace)}, lines: newLines(10), closing: context.Background()}
	anything := func(*request) bool { return true }
	for range 200 {
		first, w := e.lines.join("r"), e.lines.join("r")
		c := waitLoop{engine: e, request: new(request), waiter: w}
		e.lines.accept(w, c.request)
		e.lines.leave(first, true, nil) // w is the head, and before it hears of that
		if r, handed := e.lines.successor("r", anything); r != nil {
			handed <- handoff{question: question{attempt: new(attempt)}}
		} else {
			t.Fatal("the head is not promised anything")
		}
		l, what, err := c.event(t.Context(), watch{}, nil)
		if l != nil || err != nil || what != questioned || c.request.posed.attempt == nil {
			t.Fatalf("%v, %v, %v: it has not taken its question", l, what, err)
		}
		if r, _ := e.lines.successor("r", anything); r != nil {
			t.Fatal("it is promised something while it does not wait")
		}
		over, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if _, what, err := c.event(over, watch{}, nil); what != none || !errors.Is(err, gone) {
			t.Fatalf("%v, %v: it is told again that it is the head", what, err)
		}
		if r, _ := e.lines.successor("r", anything); r != nil {
			t.Fatal("it is promised something after it has given up")
		}
		e.lines.leave(w, false, nil)
	}
}
