package instance

import (
	"fmt"
	"sync"
	"time"
)

// Set is what shows only when the instances of one engine are looked at
// together: that two of them are the same server, and that all of them are new.
type Set struct {
	guard      Guard
	quarantine time.Duration

	mu      sync.Mutex
	members []*Instance
	runs    map[*Instance]string // the run_id behind each member
	young   map[*Instance]bool   // by its first sighting
}

// NewSet returns the set of an engine's instances. quarantine is how long the
// restart guard keeps a restarted instance from voting.
func NewSet(members []*Instance, guard Guard, quarantine time.Duration) *Set {
	return &Set{
		guard:      guard,
		quarantine: quarantine,
		members:    members,
		runs:       make(map[*Instance]string),
		young:      make(map[*Instance]bool),
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
	for _, other := range s.members {
		if other != i && s.runs[other] == runID {
			return fmt.Errorf("%w: it is the same Redis process as %s, and its vote would count twice", errSameServer, other.name)
		}
	}
	s.runs[i] = runID
	return nil
}

// pardon notes an instance's first sighting and returns the members that may
// vote at once after all: every one, when all have been seen and all are young.
func (s *Set) pardon(i *Instance, young bool) []*Instance {
	if s.guard != GuardAdaptive {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.young[i]; !seen {
		s.young[i] = young
	}
	if len(s.young) < len(s.members) {
		return nil
	}
	for _, young := range s.young {
		if !young {
			return nil
		}
	}
	s.young = make(map[*Instance]bool) // once: whoever is young later has restarted
	s.guard = GuardStrict
	return s.members
}
