//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/holdfast-go/holdfast/engine"
	locks "github.com/holdfast-go/holdfast/lease"
)

// wishKind is in which way resources are asked for.
type wishKind string

const (
	one     wishKind = "one"
	several wishKind = "several" // at once, as one lease
	batch   wishKind = "batch"   // each by itself, and what is free will do
	permit  wishKind = "permit"  // or two
)

// wish is what a worker asks for.
type wish struct {
	kind      wishKind
	resources []string
	fenced    bool
	opts      []engine.Option
}

const (
	hot     = 4 // resources that every fourth wish is for
	pools   = 3 // of permits
	permits = 3 // of each
)

// wish draws one. Those of even numbers are plain, the others fenced: a resource is always locked in the same way.
func (c *client) wish(random *rand.Rand) wish {
	w := wish{kind: []wishKind{one, one, one, one, one, one, one, several, batch, permit}[random.IntN(10)]}
	if w.kind == permit {
		w.resources, w.opts = []string{fmt.Sprintf("pool-%d", random.IntN(pools))}, []engine.Option{engine.Permits(permits)}
		if random.IntN(4) == 0 {
			w.opts = append(w.opts, engine.Weight(2))
		}
		return w
	}
	n := random.IntN(c.Resources)
	if random.IntN(4) == 0 {
		n = random.IntN(hot)
	}
	if w.fenced = n%2 == 1; w.fenced {
		w.opts = append(w.opts, engine.WithFencing())
	}
	count := 1
	if w.kind == several || w.kind == batch {
		count = 2 + random.IntN(3)
	}
	for range count { // no two are the same: all steps together are shorter than the way round
		w.resources = append(w.resources, nameOf(n%c.Resources, w.fenced))
		n += 2 + 2*random.IntN(c.Resources/8)
	}
	return w
}

func nameOf(n int, fenced bool) string {
	if fenced {
		return fmt.Sprintf("fenced-%d", n)
	}
	return fmt.Sprintf("plain-%d", n)
}

// ask asks for it. Of a batch it returns the leases of what was free, if anything was.
func (w *wish) ask(ctx context.Context, e *locker) ([]*locks.Lease, error) {
	switch w.kind {
	case several:
		return single(e.AcquireAll(ctx, w.resources, w.opts...))
	case batch:
		results, err := e.TryAcquireEach(ctx, w.resources, w.opts...)
		var leases []*locks.Lease
		for _, r := range results {
			err = errors.Join(err, r.Err)
			if r.Lease != nil {
				leases = append(leases, r.Lease)
			}
		}
		if len(leases) > 0 {
			return leases, nil
		}
		return nil, err
	}
	return single(e.Acquire(ctx, w.resources[0], w.opts...))
}

func single(l *locks.Lease, err error) ([]*locks.Lease, error) { return []*locks.Lease{l}, err }
