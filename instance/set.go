package instance

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/restart"
)

// Set is what shows only when the instances of one engine are looked at
// together: that two of them are the same server, and that all of them are new.
//
// It is for the engine.
type Set struct {
	guard      Guard
	quarantine time.Duration
	only       bool // there is only one instance, one vote
	observer   Observer

	mu      sync.Mutex
	members []*Instance
	decided bool                    // whether all are new has been decided, for good
	runs    map[*Instance]string    // the run_id behind each member
	started map[*Instance]time.Time // when a member that was young at first sight was started; zero: it was not young
}

// NewSet returns the set of an engine's instances. quarantine is how long the
// restart guard keeps a restarted instance from voting.
//
// It is for the engine.
func NewSet(members []*Instance, guard Guard, quarantine time.Duration) *Set {
	return &Set{
		guard:      guard,
		quarantine: quarantine,
		only:       len(members) == 1,
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
		if run == runID && other.role.voter() != i.role.voter() {
			return fmt.Errorf("%w as %s: its vote would count twice", errSameServer, other.name)
		}
	}
	s.runs[i] = runID
	return nil
}

// expand puts the nodes of a cluster, as they are when its first map is known, in
// the cluster's place: they are what is new or not.
func (s *Set) expand(whole *Instance, nodes []*node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(s.members), func(i *Instance) bool { return i == whole })
	for _, n := range nodes {
		others = append(others, n.Instance)
	}
	s.members = others
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

// Observer is told of what goes on at the instances of a Set. A nil field is off.
// It is called on the goroutines that do the work, and must not block.
//
// It is for the engine.
type Observer struct {
	// State is called when an instance has changed its state; a cluster, when one
	// of its nodes has.
	State func(Health)

	// Pipeline is called when a pipeline has been answered: how many messages it
	// had, and how long it was under way.
	Pipeline func(name string, messages int, took time.Duration)

	// Logger makes of the user's logger one that may be used on those goroutines,
	// too: it does not block. By default the user's own is used.
	Logger func(user *slog.Logger) *slog.Logger
}

// Observe sets the funcs that are told. It is called before any member runs.
//
// It is for the engine.
func (s *Set) Observe(o Observer) { s.observer = o }

// logger is what a member of the set logs with.
func (s *Set) logger(i *Instance) *slog.Logger {
	log := i.cfg.Logger
	if s.observer.Logger != nil {
		log = s.observer.Logger(log)
	}
	return log.With("instance", i.name)
}

// tellState tells of a change of state. A cluster changes with its nodes.
func (s *Set) tellState(i *Instance) {
	if s.observer.State != nil {
		s.observer.State(i.role.voter().Health())
	}
}

// tellPipeline tells of a pipeline that has been answered.
func (s *Set) tellPipeline(i *Instance, messages int, took time.Duration) {
	if s.observer.Pipeline != nil {
		s.observer.Pipeline(i.role.voter().name, messages, took)
	}
}
