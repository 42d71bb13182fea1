package trial

import (
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

// pace is a Backoff of the user's own: the same pause each time, for so many rounds.
type pace struct {
	pause  time.Duration // 0: the engine's own
	rounds int           // 0: for ever
}

// config is what the engine's Config has of it. Each pause is counted.
func (p pace) config(count func()) func() engine.Backoff {
	if p.pause == 0 {
		return nil
	}
	return func() engine.Backoff { return &pacing{pace: p, count: count} }
}

// pacing is the pauses of one acquire.
type pacing struct {
	pace
	done  int
	count func()
}

func (p *pacing) NextBackOff() time.Duration {
	if p.done++; p.rounds > 0 && p.done > p.rounds {
		return -1 // no more
	}
	p.count()
	return p.pause
}
