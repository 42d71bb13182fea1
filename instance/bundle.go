package instance

import (
	"hash/maphash"
	"slices"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// maxBundle is how many releases go into one script call: it blocks the server
// while it runs.
const maxBundle = 128

// bundle is many releases in one script call, which is less than half the work
// for the server. It is made by the actor, of messages that wait together.
type bundle struct {
	releases []*Release
}

// bundles folds the plain releases of a batch into bundles. A release may be sent
// later than what was posted behind it, as long as that is about other keys: so
// a bundle goes out before the first message that may be about one of its own.
type bundles struct {
	bySlot bool // for a node of a cluster: a script may touch one slot only
	folded []Command
	open   []*Release // not yet in folded
	keys   keySet     // of open
	free   []*bundle
	used   int
}

// fold returns the batch in the order to be sent. The result is good until the
// next call.
func (b *bundles) fold(s *sending, batch []Command) []Command {
	clear(b.folded)
	b.folded, b.used = b.folded[:0], 0
	for _, c := range batch {
		switch c := c.(type) {
		case *Release:
			if !c.moot && c.isPlain(s) {
				b.hold(c)
				continue
			}
			b.closeFor(c.Key)
		case *Acquire:
			b.closeFor(c.Key)
		default: // about many keys, or a bundle that is sent again
			b.close()
		}
		b.folded = append(b.folded, c)
	}
	b.close()
	return b.folded
}

// unfold takes those bundles apart, of a batch that is sent again or later, that have
// releases that are not plain any more.
func unfold(s *sending, batch []Command) (unfolded []Command) {
	for _, c := range batch {
		b, ok := c.(*bundle)
		if !ok || b.isPlain(s) {
			unfolded = append(unfolded, c)
			continue
		}
		for _, r := range b.releases {
			unfolded = append(unfolded, r)
		}
	}
	return unfolded
}

func (b *bundle) isPlain(s *sending) bool {
	return !slices.ContainsFunc(b.releases, func(r *Release) bool { return !r.isPlain(s) })
}

func (b *bundles) hold(r *Release) {
	if b.bySlot && len(b.open) > 0 && slots.Of(b.open[0].Key) != slots.Of(r.Key) {
		b.close()
	}
	b.open = append(b.open, r)
	b.keys.note(r.Key)
	if len(b.open) == maxBundle {
		b.close()
	}
}

// closeFor closes the open bundle if it may hold this key.
func (b *bundles) closeFor(key string) {
	if len(b.open) > 0 && b.keys.mayHave(key) {
		b.close()
	}
}

// close puts what is open in its place: one alone goes as it is.
func (b *bundles) close() {
	switch len(b.open) {
	case 0:
		return
	case 1:
		b.folded = append(b.folded, b.open[0])
	default:
		b.folded = append(b.folded, b.next())
	}
	clear(b.open)
	b.open = b.open[:0]
	b.keys = keySet{}
}

func (b *bundles) next() *bundle {
	if b.used == len(b.free) {
		b.free = append(b.free, new(bundle))
	}
	next := b.free[b.used]
	b.used++
	next.releases = append(next.releases[:0], b.open...)
	return next
}

// keySet says which keys are certainly not in it.
type keySet [16]uint64

var seed = maphash.MakeSeed()

func (k *keySet) note(key string) {
	h := maphash.String(seed, key)
	k[h>>6&15] |= 1 << (h & 63)
}

func (k *keySet) mayHave(key string) bool {
	h := maphash.String(seed, key)
	return k[h>>6&15]&(1<<(h&63)) != 0
}

func (b *bundle) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	n := len(b.releases)
	out = appendScript(out, releaseManyScript, n, n)
	for _, r := range b.releases {
		out = resp.AppendArg(out, r.Key)
	}
	for _, r := range b.releases {
		out = resp.AppendArg(out, r.Token)
	}
	return out, true
}

func (b *bundle) fits(votes *resp.Reply) bool {
	return votes.Kind == resp.List && len(votes.List) == len(b.releases)
}

func (b *bundle) readReply(s *sending, votes *resp.Reply) {
	for k, r := range b.releases {
		switch vote := &votes.List[k]; vote.Kind {
		case resp.Number:
			r.cast(s, vote.N)
		case resp.Text:
			s.instance.refused(r, s.refusal(vote.Err()))
		default:
			r.refuse(garbled(s))
		}
	}
}

func (b *bundle) refuse(v Vote) {
	for _, r := range b.releases {
		r.refuse(v)
	}
}

func (b *bundle) reset()             {}
func (b *bundle) debt() (debt, bool) { return debt{}, false } // its releases have
func (b *bundle) urgent() bool       { return true }
