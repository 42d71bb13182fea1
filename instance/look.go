package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// LookAtQueue asks how many wait in the queue for a lock. It changes nothing there.
//
// It is for the engine.
type LookAtQueue struct {
	Key   string // the lock
	Order string // as those of a Place
	Lives string
	To    chan<- QueueLook // which has room for the answer
}

// QueueLook is what an instance says of a queue that it has.
//
// It is for the engine.
type QueueLook struct {
	Waiting int           // places, without that of the present holder; negative: it has not said
	First   time.Duration // how long the first of them has waited, by the server's clock
}

func (q *LookAtQueue) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.LookAtQueue.AppendCall(out, 3, 0)
	out = resp.AppendArg(out, q.Key)
	out = resp.AppendArg(out, q.Order)
	return resp.AppendArg(out, q.Lives), true
}

func (q *LookAtQueue) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && len(r.List) == 2 && r.List[0].Kind == resp.Number && r.List[1].Kind == resp.Number
}

func (q *LookAtQueue) readReply(_ *sending, r *resp.Reply) {
	q.To <- QueueLook{int(r.List[0].N), clock.Units(r.List[1].N, time.Microsecond)}
}

func (q *LookAtQueue) refuse(Vote)                    { q.To <- QueueLook{Waiting: -1} }
func (q *LookAtQueue) debt() (debt, bool)             { return debt{}, false }
func (q *LookAtQueue) about() (key, besideKey string) { return q.Key, q.Order }
