package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
)

// errSameToken: see WithToken.
var errSameToken = errors.New("this engine holds it with the same token")

// wish is one of the resources of a TryAcquireEach that has no result yet.
type wish struct {
	result *Each
	key    string
	// Of an earlier attempt, with fencing; as in request.
	seen, clock, proposed uint64
}

// chunk is some wishes that are asked for together, once: one message to each instance, whose votes are counted resource by
// resource, and one wake-up of the caller, when all are decided.
//
// It is used again when its caller has left it, and every instance has voted on every resource, and on what was taken back.
type chunk struct {
	counts // of the wishes
	engine *Engine
	start  clock.Moment
	wishes []wish
	items  []instance.EachItem // as wishes; read by all actors
	text   []byte              // the commands, encoded once for all instances
	tokens batch
	failed []failure        // room
	seats  []chunkSeat      // one an instance
	ours   instance.Acquire // what all questions have in common, as mayHaveLeft looks at it
}

// failure is a wish that was not granted.
type failure struct {
	item  int
	late  error // why, although it was won; nil: it was not won
	votes []instance.Vote
}

// chunkSeat is what a chunk has for one instance.
type chunkSeat struct {
	chunk    *chunk
	seat     int
	ask      instance.AcquireEach
	undos    []instance.Release
	messages []instance.Command // room
	absent   bool               // nothing was posted, since the instance was down
}

// CastEach takes an instance's votes on some of the wishes.
func (s *chunkSeat) CastEach(which []int, votes []instance.Vote) {
	c := s.chunk
	n := c.cast(s.seat, which, votes, granted)
	if t := c.engine.telling; t.trace.Vote != nil {
		for k := range n {
			if says := votes[min(k, len(votes)-1)].Kind; says != instance.Unanswered {
				t.voted(c.engine.instances[s.seat].Name(), says)
			}
		}
	}
	c.release(n)
}

// undoneEach takes the answers to what was taken back, as undone does.
type undoneEach chunk

func (u *undoneEach) Cast(instance.Vote) { (*chunk)(u).release(1) }

// release gives up so many votes; with the last, the chunk is free.
func (c *chunk) release(votes int) {
	if !c.giveUp(votes) {
		return
	}
	clear(c.wishes)
	clear(c.items)
	c.tokens.all = ""
	clear(c.failed)
	c.wishes, c.failed = c.wishes[:0], c.failed[:0]
	for seat := range c.seats {
		s := &c.seats[seat]
		clear(s.undos)
		s.undos = s.undos[:0]
	}
	c.engine.chunks.Put(c)
}

// newChunk makes a chunk without wishes. When it has some, chunkSize at most, it must be asked and then finished; else released.
func (e *Engine) newChunk() *chunk {
	c, ok := e.chunks.Get().(*chunk)
	if !ok {
		c = &chunk{engine: e, seats: make([]chunkSeat, len(e.instances))}
		c.done, c.voters = make(chan struct{}, 1), e.instances
		for seat := range c.seats {
			s := &c.seats[seat]
			s.chunk, s.seat, s.ask.To = c, seat, s
		}
	}
	c.open = 1
	return c
}

// wishFor adds wishes for resources, as far as they are not refused at once.
func (c *chunk) wishFor(r *request, resources []string, results []Each) {
	for k, resource := range resources {
		result, key := &results[k], c.engine.key(resource)
		result.Resource = resource
		if r.token != "" && c.engine.shares(key, r.token) {
			result.Err = fmt.Errorf("acquire %q: %w: %w", resource, ErrHeld, errSameToken)
			continue
		}
		c.wishes = append(c.wishes, wish{result: result, key: key})
	}
}

// load makes r the request of one of the wishes.
func (w *wish) load(r *request) *request {
	r.resource, r.key, r.seen, r.clock, r.proposed = w.result.Resource, w.key, w.seen, w.clock, w.proposed
	return r
}

// ask posts the questions.
func (c *chunk) ask(r *request) {
	e := c.engine
	n := len(c.wishes)
	c.items = slices.Grow(c.items[:0], n)[:n]
	c.expect(n, e.need)
	c.start = clock.Sample()
	if r.token == "" {
		c.tokens.make(e.tokens, len(c.wishes))
	}
	for k := range c.wishes {
		w, item := &c.wishes[k], &c.items[k]
		*item = instance.EachItem{Key: w.key, Token: r.token}
		if r.token == "" {
			item.Token = c.tokens.token(k)
		}
		if r.fencing {
			item.Fencing = w.load(r).propose(e.cfg.KeyPrefix, c.start.Time)
			w.proposed = item.Fence + item.Reserved
		}
	}
	c.text = c.text[:0]
	if !r.fencing && r.token == "" {
		c.text = instance.EncodeAcquires(c.text, c.items, r.ttl)
	}
	c.ours.Shared, c.ours.Token = r.token != "", r.token
	for seat, at := range e.instances {
		s := &c.seats[seat]
		var v instance.Vote
		if v, s.absent = at.Absent(c.start.Time); s.absent {
			s.CastEach(nil, []instance.Vote{v})
			continue
		}
		a := &s.ask
		a.Items, a.Text, a.TTL, a.Shared = c.items, c.text, r.ttl, r.token != ""
		a.GiveUp = c.start.Time.Add(e.cfg.validity(r.ttl))
		at.Post(a)
	}
}

// finish waits for what comes of it, and notes it in the results. again are wishes that nothing but their numbers stood in
// the way of. stop is why the caller cannot go on: then nothing is left of what has no lease in the results. The chunk must
// not be used afterwards.
func (c *chunk) finish(ctx context.Context, r *request) (again []wish, stop error) {
	if stop = c.await(ctx); stop != nil {
		c.leave()
	}
	stop = c.grant(r, stop)
	c.undo(r, stop != nil)
	if stop == nil {
		again = c.refuse(r)
	}
	c.release(1)
	return again, stop
}

// grant makes the leases of those that were won, unless the caller must stop, and gathers the failures.
func (c *chunk) grant(r *request, stop error) error {
	c.failed = c.failed[:0]
	c.mu.Lock()
	for k := range c.wishes {
		if stop != nil || !c.won(k) {
			c.failed = append(c.failed, failure{item: k, votes: c.result(k)})
		}
	}
	c.mu.Unlock()
	if stop != nil {
		return stop
	}
	next := 0 // of the failures
	for k := range c.wishes {
		if next < len(c.failed) && c.failed[next].item == k {
			next++
			continue
		}
		w, item := &c.wishes[k], &c.items[k]
		var late error
		if w.result.Lease, late = c.engine.grant(w.load(r), item.Token, item.Fencing, c.start); late == nil {
			w.result.Err = nil // of a number that was too low
			continue
		}
		if late == ErrClosed { // the bare error
			stop = late
		}
		c.mu.Lock()
		c.failed = append(c.failed, failure{item: k, late: late, votes: c.result(k)})
		c.mu.Unlock()
	}
	return stop
}

// undo takes back what the failures have or may have left: as in attempt.undo, all of an instance's together. all: nothing has
// been granted.
func (c *chunk) undo(r *request, all bool) {
	for seat, at := range c.engine.instances {
		s := &c.seats[seat]
		if s.absent || all && s.ask.Withdraw() {
			continue
		}
		s.undos, s.messages = s.undos[:0], s.messages[:0]
		s.undos = slices.Grow(s.undos, len(c.failed))
		for _, f := range c.failed {
			if v := f.votes[seat]; !s.ask.Left(v.Kind) || !mayHaveLeft(v, f.votes, &c.ours) {
				continue
			}
			item := &c.items[f.item]
			s.undos = append(s.undos, instance.Release{
				Key: item.Key, Token: item.Token, TTL: r.ttl, Fencing: item.Fencing,
				Undo: s.ask.Part(f.item), To: (*undoneEach)(c),
			})
			s.messages = append(s.messages, &s.undos[len(s.undos)-1])
		}
		if len(s.messages) > 0 {
			c.expectMore(len(s.messages))
			at.Post(s.messages...)
		}
	}
}

// refuse notes why there is no lease, and returns what is to be asked for again, with higher numbers.
func (c *chunk) refuse(r *request) (again []wish) {
	e := c.engine
	for _, f := range c.failed {
		w := &c.wishes[f.item]
		w.load(r)
		if r.fencing && f.late == nil && r.learn(f.votes) {
			w.seen, w.clock = r.seen, r.clock
			again = append(again, *w)
		}
		refused := e.refusal(r.op, r.resource, f.votes, true)
		refused.decided, refused.stop = true, f.late
		w.result.Err = refused
	}
	return again
}
