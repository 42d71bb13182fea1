package instance

import (
	"log/slog"
	"time"
)

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

// Observe says who is to be told. It is called before any member runs.
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
