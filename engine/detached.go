package engine

import (
	"maps"
	"sync"
	"time"
)

// detachments has the tokens of the leases that this engine has detached, for as long
// as their keys may be there: an acquire that such a lock refuses can say so.
type detachments struct {
	mu    sync.Mutex
	until map[string]time.Time // by token
}

// maxDetached is how many tokens are remembered.
const maxDetached = 4096

// add remembers a token until the given time, unless too many are remembered.
func (d *detachments) add(token string, now, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.until) >= maxDetached {
		maps.DeleteFunc(d.until, func(_ string, until time.Time) bool { return until.Before(now) })
	}
	if d.until == nil {
		d.until = make(map[string]time.Time)
	}
	if len(d.until) < maxDetached {
		d.until[token] = until
	}
}

// holds reports whether a token is that of a lease which this engine has and has not detached.
func (e *Engine) holds(token string) bool { return e.tokens.made(token) && !e.detached.has(token) }

func (d *detachments) has(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, has := d.until[token]
	return has
}
