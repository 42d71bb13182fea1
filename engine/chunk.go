package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
)

// errSameToken: see WithToken.
var errSameToken = errors.New("this engine holds it with the same token")

// chunk is some of the resources of a TryAcquireEach, which are asked for together: an attempt for each of them, as TryAcquire
// makes one, posted side by side, and waited for once.
type chunk struct {
	together
	engine   *Engine
	request  *request    // of the call: load makes it that of one resource
	entered  int         // through the gate
	items    []chunkItem // that have no result yet
	messages []instance.Command
}

// chunkItem is one of the resources: its attempt, and what has been learnt from the one before.
type chunkItem struct {
	result *Each
	key    string
	question
	late     error           // why the attempt failed although it was won; nil: it was not won
	votes    []instance.Vote // of an attempt that failed
	seen     uint64          // as in request
	proposed uint64
	clock    uint64
}

// newChunk makes the chunk of these resources, which have entered the gate. It must be asked and then finished.
func (e *Engine) newChunk(r *request, resources []string, results []Each) *chunk {
	c, ok := e.chunks.Get().(*chunk)
	if !ok {
		c = &chunk{engine: e, items: make([]chunkItem, 0, chunkSize), messages: make([]instance.Command, 0, chunkSize)}
	}
	c.request, c.entered = r, len(resources)
	for k, resource := range resources {
		result, key := &results[k], e.key(resource)
		result.Resource = resource
		if r.token != "" && e.shares(key, r.token) {
			result.Err = fmt.Errorf("acquire %q: %w: %w", resource, ErrHeld, errSameToken)
			continue
		}
		c.items = append(c.items, chunkItem{result: result, key: key})
	}
	return c
}

// load makes the request that of one resource.
func (c *chunk) load(i *chunkItem) *request {
	r := c.request
	r.resource, r.key, r.seen, r.proposed, r.clock = i.result.Resource, i.key, i.seen, i.proposed, i.clock
	return r
}

// ask posts all questions.
func (c *chunk) ask() {
	e, start := c.engine, clock.Sample()
	c.expect(len(c.items))
	for k := range c.items {
		i := &c.items[k]
		r := c.load(i)
		i.question = e.draft(r, nil, start, false)
		i.proposed = r.proposed
		i.attempt.with = &c.together
	}
	for place, at := range e.instances {
		for k := range c.items {
			c.messages = append(c.messages, c.items[k].attempt.question(place))
		}
		c.post(at)
	}
}

// post posts the messages that have been gathered for an instance.
func (c *chunk) post(at *instance.Instance) {
	if len(c.messages) > 0 {
		at.Post(c.messages...)
	}
	clear(c.messages)
	c.messages = c.messages[:0]
}

// finish waits for what comes of it, and notes it in the results. stop is why that broke off: then nothing is left of what
// has no lease in the results. The chunk must not be used afterwards.
func (c *chunk) finish(ctx context.Context) (stop error) {
	defer c.free()
	for proposal := 1; ; proposal++ {
		if stop = c.await(ctx); stop != nil {
			c.breakOff()
		}
		stop = c.grant(stop)
		c.undo()
		again := c.refuse(stop == nil && proposal < maxProposals)
		if !again {
			return stop
		}
		c.ask()
	}
}

// await waits until all is decided, or reports why it is not.
func (c *chunk) await(ctx context.Context) (stop error) {
	if len(c.items) == 0 {
		return nil
	}
	return c.together.await(ctx)
}

// breakOff closes all ballots.
func (c *chunk) breakOff() {
	for k := range c.items {
		c.items[k].attempt.close()
	}
	c.leave()
}

// grant makes the leases of those that were won, unless the caller has been stopped, and keeps the others.
func (c *chunk) grant(stop error) error {
	failed := c.items[:0]
	for _, i := range c.items {
		i.late = nil
		if stop == nil && i.attempt.won() {
			if i.result.Lease, i.late = c.engine.grant(c.load(&i), i.token, i.fencing, i.start); i.late == nil {
				i.attempt.release()
				continue
			}
			if i.late == ErrClosed { // the bare error
				stop = i.late
			}
		}
		i.votes = i.attempt.result()
		failed = append(failed, i)
	}
	clear(c.items[len(failed):])
	c.items = failed
	return stop
}

// undo takes back what the attempts that failed have or may have left.
func (c *chunk) undo() {
	for place, at := range c.engine.instances {
		for k := range c.items {
			if u := c.items[k].attempt.undoing(place, c.items[k].votes); u != nil {
				c.messages = append(c.messages, u)
			}
		}
		c.post(at)
	}
}

// refuse notes why the attempts failed, and keeps those that are to be made again: nothing but numbers stood in the way.
func (c *chunk) refuse(mayAgain bool) (again bool) {
	rest := c.items[:0]
	for _, i := range c.items {
		i.attempt.release()
		r := c.load(&i)
		if r.fencing && mayAgain && r.learn(i.votes) {
			i.seen, i.clock = r.seen, r.clock
			rest = append(rest, i)
			continue
		}
		refused := c.engine.refusal(r.op, r.resource, i.votes, true)
		refused.decided, refused.stop = true, i.late
		i.result.Err = refused
	}
	clear(c.items[len(rest):])
	c.items = rest
	return len(rest) > 0
}

// free leaves the gate.
func (c *chunk) free() {
	e := c.engine
	e.gate.Release(int64(c.entered))
	clear(c.items)
	c.items, c.request = c.items[:0], nil
	e.chunks.Put(c)
}
