package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// MaxEach is how many resources one TryAcquireEach may name.
const MaxEach = 10_000

const (
	// chunkSize is how many resources are asked for together: a message for each to each instance, in one post and one
	// pipeline, and one wake-up for all of them. It bounds how long an acquire waits that comes behind: a server serves
	// that many within half a millisecond.
	chunkSize = instance.MaxEach
	// maxEachUnderWay is how many resources an engine asks for, or gives back, at once in chunks, whoever calls: a part
	// of an instance's mailbox that leaves room for everybody else.
	maxEachUnderWay = 2048
)

// Each is what became of one of the resources of a TryAcquireEach: either a lease, or why there is none.
type Each struct {
	Resource string
	Lease    *lease.Lease // nil: there is none
	Err      error        // nil: there is a lease; else as of TryAcquire: a *QuorumError with ErrHeld, ErrNoQuorum or ErrRefused
}

// TryAcquireEach asks for each of the resources by itself, as TryAcquire does, and does not wait for any: those that
// are free are leased, each with a lease of its own, and the others say who holds them, or what else stood in the way.
// What becomes of one says nothing about the others. It is for a worker that claims a batch of things: it costs a small
// part of as many calls of TryAcquire, since it is woken once for many of them.
//
// The results are in the order of resources, which are 1 to MaxEach different names of 1 to 1024 bytes each; the
// options go for each of them. The error is not nil only when there are no results: bad input, named by index, before
// anything was asked; ctx or WithWait ended; the engine was closed. Then no lease is left: what was won is taken back
// in the background, before anything else that this engine asks of that instance.
//
// Up to 256 resources go out together, in one pipeline to each instance, and twice as many are under way for one call,
// 2048 for all of an engine; more wait for their turn. So other acquires pass between them. The validity of each lease
// counts from when its part went out. It takes no longer than twice the instances' timeout for each 256 resources, with
// WithFencing as TryAcquire; less than that once an instance is known to be down. Config.MaxWaiters does not bound it, since nothing waits in line. Safe for
// concurrent use.
func (e *Engine) TryAcquireEach(ctx context.Context, resources []string, opts ...Option) ([]Each, error) {
	r, err := e.requestEach(resources, opts)
	if err != nil {
		return nil, err
	}
	defer e.requests.Put(r)
	if err := e.enter(); err != nil {
		return nil, eachFailed(len(resources), err)
	}
	start := time.Now()
	results, err := e.tryEach(ctx, r, resources)
	if e.cfg.Trace.Each != nil {
		e.cfg.Trace.Each(ctx, EachInfo{Resources: len(resources), Results: results, Waited: time.Since(start), Err: err})
	}
	return results, err
}

// tryEach is all of it that the engine must not be closed under. The caller has entered; tryEach exits.
func (e *Engine) tryEach(ctx context.Context, r *request, resources []string) ([]Each, error) {
	defer e.exit()
	waiting, over := r.bound(ctx)
	defer over()
	results := make([]Each, len(resources))
	if err := e.askEach(waiting, r, resources, results); err != nil {
		e.discardAll(results)
		return nil, eachFailed(len(resources), err)
	}
	return results, nil
}

func eachFailed(resources int, err error) error {
	return fmt.Errorf("acquire each of %d resources: %w", resources, err)
}

// requestEach reads the options, and checks all names.
func (e *Engine) requestEach(resources []string, opts []Option) (*request, error) {
	const op = "acquire each"
	switch n := len(resources); {
	case n == 0:
		return nil, fmt.Errorf("engine: %s: no resources: name 1 to %d", op, MaxEach)
	case n > MaxEach:
		return nil, fmt.Errorf("engine: %s: %d resources: at most %d, so call it for a part of them at a time", op, n, MaxEach)
	}
	if err := checkResources(resources); err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op, err)
	}
	r, err := e.request("acquire", resources[0], opts)
	if err == nil {
		err = r.refuseKinds("TryAcquireEach")
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// checkResources names all that are bad, and all that are there before.
func checkResources(resources []string) error {
	var errs []error
	before := make(map[string]int, len(resources))
	for k, resource := range resources {
		if err := checkResource(resource); err != nil {
			errs = append(errs, fmt.Errorf("resources[%d]: %w", k, err))
			continue
		}
		if first, ok := before[resource]; ok {
			errs = append(errs, fmt.Errorf("resources[%d] is %q, as resources[%d] is: name each once", k, resource, first))
			continue
		}
		before[resource] = k
	}
	return join(errs...)
}

// askEach asks for all of them, a chunk after the other, and for a second one while the first is under way. When it returns
// an error, nothing is under way, and some results may have leases.
func (e *Engine) askEach(ctx context.Context, r *request, resources []string, results []Each) error {
	var asked *part
	for at := 0; at < len(resources) || asked != nil; {
		var next *part
		n := min(chunkSize, len(resources)-at)
		if n > 0 && e.mayGoOn(ctx, n, asked == nil) {
			next = e.askPart(r, resources[at:at+n], results[at:at+n])
			at += n
		}
		if asked != nil {
			if stop := asked.finish(ctx, r); stop != nil {
				if next != nil {
					_ = next.finish(ctx, r) // it must stop as well, and be taken back
				}
				return stop
			}
		} else if next == nil {
			return e.stopped(ctx)
		}
		asked = next
	}
	return nil
}

// part is a chunk's worth of the resources, from the gate to the results.
type part struct {
	engine  *Engine
	entered int64
	chunk   *chunk // nil: nothing is to be asked for
}

func (e *Engine) askPart(r *request, resources []string, results []Each) *part {
	p := &part{engine: e, entered: int64(len(resources)), chunk: e.newChunk()}
	p.chunk.wishFor(r, resources, results)
	if len(p.chunk.wishes) == 0 {
		p.chunk.release(1)
		p.chunk = nil
		return p
	}
	p.chunk.ask(r)
	return p
}

// finish waits for the chunk, and asks again for what nothing but its numbers stood in the way of.
func (p *part) finish(ctx context.Context, r *request) (stop error) {
	defer p.engine.gate.Release(p.entered)
	for proposal := 1; p.chunk != nil; proposal++ {
		again, stop := p.chunk.finish(ctx, r)
		if stop != nil || len(again) == 0 || proposal == maxProposals {
			return stop
		}
		p.chunk = p.engine.newChunk()
		p.chunk.wishes = append(p.chunk.wishes, again...)
		p.chunk.ask(r)
	}
	return nil
}

// mayGoOn reports whether so many resources more may be asked for: they have entered the gate then. When it is full, the
// caller waits, or not.
func (e *Engine) mayGoOn(ctx context.Context, n int, wait bool) bool {
	switch {
	case e.stopped(ctx) != nil:
		return false
	case e.gate.TryAcquire(int64(n)):
		return true
	case !wait:
		return false
	}
	waiting, over := context.WithCancel(ctx)
	defer over()
	defer context.AfterFunc(e.closing, over)()
	return e.gate.Acquire(waiting, int64(n)) == nil
}
