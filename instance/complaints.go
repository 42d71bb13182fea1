package instance

import (
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
)

// complainEvery is how often one kind of refusal by one instance is logged at most.
const complainEvery = time.Minute

// complaints are when each kind of refusal was last logged.
type complaints struct {
	mu   sync.Mutex
	last map[*fault.Refusal]time.Time // nil stands for all those that the table does not have
}

// due reports whether that kind is to be logged again.
func (c *complaints) due(r *fault.Refusal, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, said := c.last[r]; said && now.Sub(last) < complainEvery {
		return false
	}
	if c.last == nil {
		c.last = make(map[*fault.Refusal]time.Time)
	}
	c.last[r] = now
	return true
}

// log says that the server refuses, now and then: a caller that waits for a lock meanwhile
// hears nothing until it stops waiting. err is without secrets.
func (c *complaints) log(log *slog.Logger, err error, now time.Time) {
	if r := fault.RefusalOf(err); (r == nil || r.Class != fault.Ours) && c.due(r, now) {
		log.Warn("the server refuses", "reason", err, "advice", fault.Advice(err))
	}
}
