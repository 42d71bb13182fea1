package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Marks are what the key of a lock has, or is said to have, that nobody has alone. No token begins with one.
const (
	SharedMark  = "~shared"  // readers are in
	WritersMark = "~writers" // nobody is, and it is kept for those who wait to have it alone
)

// Sharing is of a lock that several hold at once, each with a token of its own: the readers. Its key has SharedMark while one
// of them is in, so that whoever wants it alone is refused as by a holder, also by a plain SET NX. Who is in, and until when,
// is beside it. The mark lives at least as long as each reader does.
//
// It is for the engine.
type Sharing struct {
	Readers string        // the key that has who is in
	Closed  string        // the key that keeps further readers out
	Keep    time.Duration // for how long a lock that is closed stays so when the last reader has left; whole milliseconds
}

// SharingOf is what a lock's key has beside it.
//
// It is for the engine.
func SharingOf(prefix, key string, keep time.Duration) *Sharing {
	return &Sharing{Readers: slots.Beside(prefix, slots.Readers, key), Closed: slots.Beside(prefix, slots.Closed, key), Keep: keep}
}

// beside is a key that must be in the slot of the lock; "" of one that nobody shares.
func (s *Sharing) beside() string {
	if s == nil {
		return ""
	}
	return s.Readers
}

// text is how long its names are.
func (s *Sharing) text() int {
	if s == nil {
		return 0
	}
	return len(s.Readers) + len(s.Closed)
}

func (a *Acquire) shared(out []byte) []byte {
	out = scripts.AcquireShared.AppendCall(out, 3, 2)
	out = resp.AppendArg(out, a.Key)
	out = resp.AppendArg(out, a.Sharing.Readers)
	out = resp.AppendArg(out, a.Sharing.Closed)
	return a.appendClaim(out)
}

func (r *Release) shared(out []byte) []byte {
	out = scripts.ReleaseShared.AppendCall(out, 3, 2)
	out = resp.AppendArg(out, r.Key)
	out = resp.AppendArg(out, r.Sharing.Readers)
	out = resp.AppendArg(out, r.Sharing.Closed)
	out = resp.AppendArg(out, r.Token)
	return resp.AppendNumber(out, max(1, r.Sharing.Keep.Milliseconds()))
}

// encodeShared is EncodeRenewals for those of readers.
func encodeShared(out []byte, items []Renewal) []byte {
	n := len(items)
	out = scripts.RenewShared.AppendCall(out, 2*n, 2*n)
	for k := range items {
		out = resp.AppendArg(out, items[k].Key)
		out = resp.AppendArg(out, items[k].Sharing.Readers)
	}
	for k := range items {
		out = resp.AppendArg(out, items[k].Token)
		out = resp.AppendNumber(out, items[k].TTL.Milliseconds())
	}
	return out
}

// CloseShared keeps more readers out of a lock that is shared, for one that waits to have it alone: until that takes
// it back, by a Release of By from Closed, and no longer than For. Where no reader is in, it does nothing. Nobody waits for the
// answer.
//
// It is for the engine.
type CloseShared struct {
	Key string
	By  string // which no other says
	For time.Duration
	*Sharing
}

func (c *CloseShared) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.CloseShared.AppendCall(out, 2, 2)
	out = resp.AppendArg(out, c.Key)
	out = resp.AppendArg(out, c.Closed)
	out = resp.AppendArg(out, c.By)
	return resp.AppendNumber(out, c.For.Milliseconds()), true
}

func (c *CloseShared) fits(r *resp.Reply) bool         { return r.Kind == resp.Number }
func (c *CloseShared) readReply(*sending, *resp.Reply) {}
func (c *CloseShared) refuse(Vote)                     {}
func (c *CloseShared) debt() (debt, bool)              { return debt{}, false }
func (c *CloseShared) about() (key, besideKey string)  { return c.Key, c.Closed }

// CountReaders asks how many share a lock that has SharedMark.
//
// It is for the engine.
type CountReaders struct {
	Key     string // the lock
	Readers string
	To      chan<- int // which has room for the answer; negative: it has not said
}

func (q *CountReaders) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.CountReaders.AppendCall(out, 1, 0)
	return resp.AppendArg(out, q.Readers), true
}

func (q *CountReaders) fits(r *resp.Reply) bool             { return r.Kind == resp.Number }
func (q *CountReaders) readReply(_ *sending, r *resp.Reply) { q.To <- int(r.N) }
func (q *CountReaders) refuse(Vote)                         { q.To <- -1 }
func (q *CountReaders) debt() (debt, bool)                  { return debt{}, false }
func (q *CountReaders) about() (key, besideKey string)      { return q.Key, q.Readers }
