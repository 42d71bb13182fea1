package instance

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/slots"
)

// pipeline is the messages of one write, in the order of their replies.
type pipeline struct {
	sending
	sent     []Command
	answered int       // of sent, from the front; the reader's own, until it is gone
	deadline time.Time // by then all replies must be there
	written  bool      // or about to be; guarded by the mailbox's mutex
	bundles  bundles
}

// pipeline returns an empty pipeline.
func (f *flow) pipeline() *pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.spare)
	if n == 0 {
		return new(pipeline)
	}
	p := f.spare[n-1]
	f.spare = f.spare[:n-1]
	return p
}

// fill makes the pipeline of a batch, and appends what is to be written to out.
func (p *pipeline) fill(batch []Command, out []byte) []byte {
	clear(p.sent)
	p.sent, p.answered = p.sent[:0], 0
	return p.encode(p.bundles.fold(&p.sending, batch), out)
}

// refill is fill for what has not been answered, when it is sent again.
func (p *pipeline) refill(out []byte) []byte {
	rest := unfold(&p.sending, p.rest())
	p.sent, p.answered = p.sent[:0], 0
	return p.encode(rest, out)
}

func (p *pipeline) rest() []Command { return p.sent[p.answered:] }

func (p *pipeline) encode(batch []Command, out []byte) []byte {
	for _, c := range batch {
		var ok bool
		if out, ok = c.appendCommand(&p.sending, out); ok {
			p.sent = append(p.sent, c)
		}
	}
	return out
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
	raises raises
}

// fold returns the batch in the order to be sent. The result is good until the
// next call.
func (b *bundles) fold(s *sending, batch []Command) []Command {
	clear(b.folded)
	b.folded, b.used, b.raises.used = b.folded[:0], 0, 0
	for _, c := range batch {
		switch c := c.(type) {
		case *Release:
			b.release(s, c)
			continue
		case *Acquire:
			b.closeFor(c.Key)
			if c.Several != nil {
				for _, key := range c.Several.Keys {
					b.closeFor(key)
				}
			}
			if c.Any != nil { // any of its keys may be theirs
				b.close()
			}
			b.raise(s, c)
		case *AcquireEach:
			if !c.goesWhole(s) && c.send() { // else there is nothing to be taken apart
				for _, part := range c.takeApart(s.actor.name) {
					a := part.(*Acquire)
					b.closeFor(a.Key)
					b.raise(s, a)
					b.folded = append(b.folded, a)
				}
				continue
			}
			b.close()
		case *ReleaseEach:
			if !c.goesWhole(s) {
				for _, part := range c.takeApart() {
					b.release(s, part.(*Release))
				}
				continue
			}
			b.close()
		default: // about many keys, or a bundle that is sent again
			b.close()
		}
		b.folded = append(b.folded, c)
	}
	b.close()
	for _, r := range b.raises.all[:b.raises.used] {
		b.folded = append(b.folded, r)
	}
	return b.folded
}

// release folds a release into a bundle, if it may be in one.
func (b *bundles) release(s *sending, r *Release) {
	if !r.moot && !r.looks && r.isPlain(s) && !r.isNative(s) {
		b.hold(r)
		return
	}
	b.closeFor(r.Key)
	b.folded = append(b.folded, r)
}

// raise has the fence of an acquire raised behind it, if that may be. It does not matter what else goes out before that.
func (b *bundles) raise(s *sending, a *Acquire) {
	a.raise = nil
	if !a.mayRaise(s) {
		return
	}
	if s.clockAges && !a.isHealing() {
		s.clockAges = false
		return
	}
	last := b.raises.last()
	a.raise, a.joined = last, last.join(a)
}

// mayRaise reports whether its fence may be raised by a command behind it, and the lock taken by a native one: where
// the order of messages is sure, and the server's clock known well enough to say that the proposal is not ahead of it. A script
// looks at the clock itself.
func (a *Acquire) mayRaise(s *sending) bool {
	switch {
	case a.Fence == 0, !s.raises, s.again, a.again, a.AskLeft, a.Shared, a.Former != "", a.Several != nil, s.quarantined > 0 && !s.heals(a.Proof):
		return false
	}
	return a.isHealing() || s.serverClock != 0 && a.Fence <= s.serverClock+uint64(a.MaxAhead.Microseconds())
}

// unfold takes those bundles apart, of a batch that is sent again or later, that have
// releases that are not plain any more. Fences are raised by the acquires themselves: what raised them before
// says nothing about what is sent now. Those whose raise was not answered are sent again in its place.
func unfold(s *sending, batch []Command) (unfolded []Command) {
	for _, c := range batch {
		switch c := c.(type) {
		case *raise:
			unfolded = append(unfolded, c.again()...)
			continue
		case *Acquire:
			c.raise = nil
		case *AcquireEach:
			if c.send() { // else it casts its votes by itself
				unfolded = append(unfolded, c.takeApart(s.actor.name)...)
				continue
			}
		case *ReleaseEach:
			unfolded = append(unfolded, c.takeApart()...)
			continue
		}
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
