package instance

import "github.com/holdfast-go/holdfast/internal/tracking"

// Watch asks the instance to say on w.C when the lock under w.Key changes. It
// returns at once, and is undone by Unwatch. An instance keeps one watch a key:
// the last. It is for the engine.
func (i *Instance) Watch(w *tracking.Watch) {
	i.role.watch(w)
}

// Unwatch ends a Watch. It is for the engine.
func (i *Instance) Unwatch(w *tracking.Watch) { w.Leave() }
