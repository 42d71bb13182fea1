package otelholdfast

import (
	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// start begins the series of every value that the counters' attributes can have. A
// series that begins with 1 has not risen, so that nobody's increase() would see the
// first loss.
func (t *Telemetry) start() {
	for _, outcome := range engine.Outcomes() {
		t.acquires.begin(outcomeName.String(outcome))
	}
	for _, cause := range engine.Causes() {
		t.ended.begin(causeName.String(cause))
	}
	for _, confirmed := range []bool{false, true} {
		t.renewals.begin(confirmedName.Bool(confirmed))
	}
}

// kinds are what instances say to an acquire.
var kinds = []instance.Kind{
	instance.Granted, instance.Held, instance.Stale, instance.Ahead, instance.Unreachable, instance.TimedOut, instance.Busy,
	instance.InQuarantine, instance.Refused,
}

// startInstance is start for an instance, whose name is an attribute.
func (t *Telemetry) startInstance(name string) {
	for _, kind := range kinds {
		t.votes.begin(instanceName.String(name), kindName.String(kind.String()))
	}
	for _, state := range states {
		t.changes.begin(instanceName.String(name), stateName.String(state.String()))
	}
}
