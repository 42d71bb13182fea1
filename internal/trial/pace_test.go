package trial

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// pace is a Backoff of the user's own: the same pause each time, for so many rounds.
type pace struct {
	pause  time.Duration // 0: the engine's own
	rounds int           // 0: for ever
}

// config is what the engine's Config has of it. Each pause is counted.
func (p pace) config(count func()) func() backoff.BackOff {
	if p.pause == 0 {
		return nil
	}
	return func() backoff.BackOff { return &pacing{pace: p, count: count} }
}

// pacing is the pauses of one acquire.
type pacing struct {
	pace
	done  int
	count func()
}

func (p *pacing) NextBackOff() time.Duration {
	if p.done++; p.rounds > 0 && p.done > p.rounds {
		return backoff.Stop
	}
	p.count()
	return p.pause
}

func (p *pacing) Reset() { p.done = 0 }
