package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-go/holdfast/lease"
)

// AcquireAll waits until all of these resources are held, and returns one lease of all of them: one token, one
// deadline, one Done. It has all or none: while it waits for one it holds no lease of the others, and when it returns an error
// nothing of it is left. Callers need not keep to any order: nobody who uses AcquireAll waits for another who waits for
// them. (Who holds one lease and acquires another can still do so.)
//
// Each resource is locked as Acquire locks it, and excludes whoever locks it alone. When all are free that takes one round
// trip, and one script on each server; in a cluster, one for each slot: resources with the same {tag} share one. An
// acquire that has waited for a second takes the resources one after the other, in the order in which all who do so take
// them, so that it has them in the end however busy each is: meanwhile it locks those that it has, though nobody holds
// them. In one engine it stands in the line of each of the resources, and who stands behind it waits for it.
//
// The lease is lost, with lease.ErrLost, when one of its resources is: the error names it, and none of the others is
// renewed any more. Its fencing token (WithFencing) is higher than all before it of each of the resources. It is not handed
// on (Config.LocalHandoff). Lease.Detach leaves all of them locked by one token, and Adopt takes over one resource at a time.
//
// resources are 1 to 64 names, each as for Acquire, and none of them twice; they are copied. The options are those of
// Acquire, but for WithToken, which is refused. The errors are Acquire's: a *QuorumError names the resource that stood in
// the way. Safe for concurrent use.
func (e *Engine) AcquireAll(ctx context.Context, resources []string, opts ...Option) (*lease.Lease, error) {
	r, err := e.requestAll(resources, opts)
	if err != nil {
		return nil, err
	}
	defer e.requests.Put(r)
	if err := e.enter(); err != nil {
		return nil, r.failed(err)
	}
	start := e.traceStart()
	c := allLoop{waitLoop: waitLoop{engine: e, request: r}}
	waiting, over := r.bound(ctx)
	l, err := c.waitFor(waiting)
	over()
	e.acquired(ctx, r, start, c.rounds, err)
	return l, err
}

// TryAcquireAll is AcquireAll without waiting: it takes part in one round of votes, and returns the lease of all of the
// resources, or an error with ErrHeld when somebody else has one of them. It takes no longer than the instances'
// timeout; with WithFencing, four times that, as TryAcquire.
func (e *Engine) TryAcquireAll(ctx context.Context, resources []string, opts ...Option) (*lease.Lease, error) {
	r, err := e.requestAll(resources, opts)
	if err != nil {
		return nil, err
	}
	defer e.requests.Put(r)
	if err := e.enter(); err != nil {
		return nil, r.failed(err)
	}
	start := e.traceStart()
	waiting, over := r.bound(ctx)
	l, err := e.try(waiting, r)
	over()
	e.acquired(ctx, r, start, 1, err)
	return l, err
}

// failed is an error in which no instance had a part.
func (r *request) failed(err error) error {
	return fmt.Errorf("%s of %d: %w", r.op, len(r.several.resources), err)
}

// requestAll is request for several resources.
func (e *Engine) requestAll(resources []string, opts []Option) (*request, error) {
	const op = "acquire all"
	all := slices.Sorted(slices.Values(resources))
	if err := checkSet(all); err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op, err)
	}
	r, err := e.request(op, all[0], opts)
	if err != nil {
		return nil, err
	}
	if err := r.refuseKinds("AcquireAll"); err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op, err)
	}
	if r.token != "" {
		return nil, fmt.Errorf("engine: %s: WithToken: a lease of several resources gets a fresh token", op)
	}
	r.reserve = 0 // it is not handed on
	r.several = &several{resources: all, keys: make([]string, len(all))}
	for k, resource := range all {
		r.several.keys[k] = e.key(resource)
	}
	return r, nil
}

// maxSeveral is how many resources one lease may be of: a script call blocks the server while it runs, and their renewals
// travel together.
const maxSeveral = 64

// checkSet checks names that are in ascending order.
func checkSet(resources []string) error {
	switch n := len(resources); {
	case n == 0:
		return errors.New("no resources: name at least one that is to be locked")
	case n > maxSeveral:
		return fmt.Errorf("%d resources: at most %d can be locked at once", n, maxSeveral)
	}
	for k, resource := range resources {
		if err := checkResource(resource); err != nil {
			return err
		}
		if k > 0 && resource == resources[k-1] {
			return fmt.Errorf("the resource %q is there twice: name each once", resource)
		}
	}
	return nil
}
