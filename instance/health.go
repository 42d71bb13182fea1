package instance

import (
	"fmt"
	"time"
)

// State is how an instance is doing.
type State uint8

const (
	Connecting  State = iota // not yet tried
	Up                       // votes
	Quarantined              // votes, but not on new acquires: the restart guard
	Down                     // does not answer, or refuses
	Closed                   // not run any more
)

func (s State) String() string {
	names := [...]string{"connecting", "up", "quarantined", "down", "closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Health is a snapshot of an instance.
type Health struct {
	Name       string
	State      State
	Since      time.Time     // of the state
	Err        error         // why it is down; nil otherwise
	Latency    time.Duration // of the last round trip
	Quarantine time.Duration // how long the restart guard still forbids votes on new acquires; 0: it does not
	Mailbox    int           // messages in it that are not sent yet
	RunID      string        // of the server process; "" when INFO is not permitted, and for a cluster
	Stepped    time.Duration // by how much the server's clock was last seen to be stepped; 0: never. Renewals see it
	SteppedAt  time.Time     // when that was noticed
}

// Health returns a snapshot of the instance. A cluster is as its worst master is,
// whom Err names.
func (i *Instance) Health() Health {
	return i.role.health()
}

// ownHealth is the Health of a server, or of a cluster without its nodes.
func (i *Instance) ownHealth() Health {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.health
	h.Mailbox, h.Latency = i.mailbox.depth(), i.mailbox.flow.latency()
	if h.State == Up {
		if rest := i.abstention.left(time.Now()); rest > 0 {
			h.State, h.Quarantine = Quarantined, rest
		}
	}
	return h
}

// Vote returns what the instance would vote on a free lock now: Granted when it is up,
// InQuarantine, or why it cannot vote.
//
// It is for the engine.
func (i *Instance) Vote() Vote {
	switch h := i.Health(); {
	case h.State == Up:
		return Vote{Instance: i.name, Kind: Granted}
	case h.State == Quarantined:
		return Vote{Instance: i.name, Kind: InQuarantine, Left: h.Quarantine}
	case h.State == Closed:
		return Vote{Instance: i.name, Kind: Unreachable, Err: errClosed}
	case h.Err == nil:
		return Vote{Instance: i.name, Kind: Unanswered}
	default:
		return i.classify(h.Err)
	}
}

// become changes the state, and logs it once.
func (i *Instance) become(s State, why error) {
	i.mu.Lock()
	changed := i.health.State != s
	if changed {
		i.health.Since = time.Now()
	}
	i.health.State = s
	i.health.Err = why
	i.mu.Unlock()
	if changed && i.set != nil {
		i.set.tellState(i)
	}
	switch {
	case !changed:
	case s == Down:
		i.log.Warn("instance is down", "reason", why)
	case s == Up:
		i.log.Info("instance is up")
	}
}
