package instance

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/restart"
)

// Set is what shows only when the instances of one engine are looked at
// together: that two of them are the same server, and that all of them are new.
type Set struct {
	guard      Guard
	quarantine time.Duration
	lone       bool // there is only one instance, one vote
	observer   Observer

	mu      sync.Mutex
	members []*Instance
	decided bool                    // whether all are new has been decided, for good
	runs    map[*Instance]string    // the run_id behind each member
	started map[*Instance]time.Time // when a member that was young at first sight was started; zero: it was not young
}

// NewSet returns the set of an engine's instances. quarantine is how long the
// restart guard keeps a restarted instance from voting.
func NewSet(members []*Instance, guard Guard, quarantine time.Duration) *Set {
	return &Set{
		guard:      guard,
		quarantine: quarantine,
		lone:       len(members) == 1,
		members:    members,
		runs:       make(map[*Instance]string),
		started:    make(map[*Instance]time.Time),
	}
}

// register notes which server is behind i, and objects when another member has
// the same one: a quorum of one machine is none.
func (s *Set) register(i *Instance, runID string) error {
	if runID == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, run := range s.runs {
		if run == runID && other.voter() != i.voter() {
			return fmt.Errorf("%w as %s: its vote would count twice", errSameServer, other.name)
		}
	}
	s.runs[i] = runID
	return nil
}

// voter is whose vote an instance casts: its own, or its cluster's.
func (i *Instance) voter() *Instance {
	if i.home != nil {
		return i.home.whole
	}
	return i
}

// expand puts the nodes of a cluster, as they are when its first map is known, in
// the cluster's place: they are what is new or not.
func (s *Set) expand(whole *Instance, nodes []*Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(s.members), func(i *Instance) bool { return i == whole })
	s.members = append(others, nodes...)
}

// forget drops a node that does not run any more.
func (s *Set) forget(n *Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, n)
}

// pardon notes an instance's first sighting and returns the members that may
// vote at once after all: every one, when all have been seen for the first time
// and all of them are still young now. It happens once at most.
func (s *Set) pardon(i *Instance, first restart.Sighting, young bool) []*Instance {
	if s.guard != GuardAdaptive {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.started[i]; seen || s.decided || !slices.Contains(s.members, i) {
		return nil
	}
	s.started[i] = time.Time{}
	if young {
		s.started[i] = first.At.Add(-first.Uptime)
	}
	if len(s.started) < len(s.members) {
		return nil
	}
	s.decided = true
	for _, started := range s.started {
		if first.At.Sub(started) >= s.quarantine { // the zero time is long ago, too
			return nil
		}
	}
	return s.members
}
