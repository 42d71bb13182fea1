package instance

import (
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/restart"
)

// Guard says what is made of an instance that may have restarted without its
// memory. Such a one would grant a lock that somebody still holds, so it must
// not vote on new acquires until every lease that it may have forgotten is over:
// Quarantine, counted on our own clock. Renewals and releases go on meanwhile.
type Guard uint8

const (
	// GuardAdaptive is GuardStrict with one exception, so that a first
	// deployment need not wait: when this engine sees all its instances for the
	// first time and all of them are younger than the quarantine, they are
	// trusted at once. It cannot tell that from a restart of all of them, without
	// memory, while an older engine holds a lease: where that may happen, and for
	// programs that run for a moment only, use GuardStrict.
	GuardAdaptive Guard = iota
	// GuardStrict quarantines every instance that restarted, or whose age
	// cannot be known, a short while ago.
	GuardStrict
	// GuardOff trusts every instance: right only if none can forget, as with
	// appendfsync always.
	GuardOff
)

func (g Guard) String() string {
	switch g {
	case GuardAdaptive:
		return "adaptive"
	case GuardStrict:
		return "strict"
	case GuardOff:
		return "off"
	}
	return fmt.Sprintf("guard %d", uint8(g))
}

// abstention is until when the restart guard keeps an instance from voting on new acquires.
type abstention struct {
	mu    sync.Mutex
	until time.Time // zero: it may vote
}

// judge has the guard judge the server that a new link has found.
func (a *abstention) judge(before *restart.Sighting, seen restart.Sighting, quarantine time.Duration) restart.Judgement {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := restart.Judge(before, seen, a.until, quarantine)
	a.until = j.Until
	return j
}

// left returns how long it still lasts.
func (a *abstention) left(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until.IsZero() {
		return 0
	}
	return max(0, a.until.Sub(now))
}

// end lets the instance vote at once.
func (a *abstention) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = time.Time{}
}
