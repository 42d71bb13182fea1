package otelholdfast

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// Options says where telemetry goes. The zero value works.
type Options struct {
	// MeterProvider and TracerProvider make the metrics and the spans. Default:
	// the global ones of package otel.
	MeterProvider  metric.MeterProvider
	TracerProvider trace.TracerProvider

	// Resources says that spans, not metrics, name the resource. Default:
	// they do not; it may be somebody's name.
	Resources bool

	// Attributes are added to every metric and span, to tell several engines of
	// one process apart. Default: none.
	Attributes []attribute.KeyValue
}

// Telemetry is the metrics and spans of one engine. Safe for concurrent use.
type Telemetry struct {
	options Options
	meter   metric.Meter
	tracer  trace.Tracer
	all     metric.MeasurementOption // the attributes of the options

	acquire, rounds, handover, margin, lease, trip, batch histogram
	acquires, votes, renewals, ended, changes             counter

	held, waiting   metric.Int64ObservableUpDownCounter
	places, first   metric.Int64ObservableUpDownCounter // in queues
	leading         metric.Int64ObservableUpDownCounter
	dropped, untold metric.Int64ObservableCounter
	state, mailbox  metric.Int64ObservableGauge
	quarantine      metric.Float64ObservableGauge
	step            metric.Float64ObservableGauge // of the server's clock
	observing       metric.Registration           // nil: no engine is attached
}

const scope = "github.com/holdfast-go/holdfast/otelholdfast"

// buckets are from a round trip on one machine, 100 µs, to a minute's wait.
var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// New makes the instruments. It returns an error when the meter provider refuses one.
func New(o Options) (*Telemetry, error) {
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	t := &Telemetry{
		options: o,
		meter:   o.MeterProvider.Meter(scope),
		tracer:  o.TracerProvider.Tracer(scope),
		all:     metric.WithAttributes(o.Attributes...),
	}
	m := maker{t, nil}
	t.acquires = m.counter("holdfast.acquire.count", "{acquire}", "Acquires that are over.")
	t.acquire = m.seconds("holdfast.acquire.duration", "How long acquires took.")
	t.rounds = m.histogram("holdfast.acquire.rounds", "{round}", "Rounds of votes that an acquire took.", 0, 1, 2, 3, 5, 8, 13, 21, 34, 55)
	t.votes = m.counter("holdfast.vote.count", "{vote}", "Votes on acquires.")
	t.handover = m.seconds("holdfast.handover.duration", "From when a waiter was told that the lock may be free to the answer.")
	t.renewals = m.counter("holdfast.renewal.count", "{renewal}", "Renewals of leases.")
	t.margin = m.seconds("holdfast.renewal.margin", "Validity that was left when a renewal was confirmed.")
	t.ended = m.counter("holdfast.lease.ended", "{lease}", "Leases that have ended: expired, gone, stolen and max_hold are losses.")
	t.lease = m.seconds("holdfast.lease.duration", "How long leases were held.")
	t.changes = m.counter("holdfast.instance.changes", "{change}", "Changes of an instance's state.")
	t.trip = m.seconds("holdfast.pipeline.duration", "Round trips of pipelines to an instance.")
	t.batch = m.histogram("holdfast.pipeline.messages", "{message}", "Messages in a pipeline to an instance.", 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
	m.observed()
	if len(m.errs) > 0 {
		return t, errors.Join(m.errs...)
	}
	t.start()
	return t, nil
}

// Attach names the engine whose state is shown: leases held, acquires waiting, the
// instances. The engine should be the one that has the Trace. It returns an error when
// one is attached already, or when the meter provider refuses. Call it once, and not
// while Close runs.
func (t *Telemetry) Attach(e *engine.Engine) (err error) {
	if t.observing != nil {
		return errors.New("otelholdfast: an engine is attached already: make a Telemetry for each")
	}
	for _, i := range e.Instances() {
		t.startInstance(i.Name)
	}
	t.observing, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t.observe(o, e.Snapshot(0))
		return nil
	}, t.held, t.leading, t.waiting, t.places, t.first, t.dropped, t.untold, t.state, t.mailbox, t.quarantine, t.step)
	return err
}

// Close forgets the engine. Call it after all other calls. The error is the meter
// provider's.
func (t *Telemetry) Close() error {
	if t.observing == nil {
		return nil
	}
	return t.observing.Unregister()
}

var states = []instance.State{instance.Connecting, instance.Up, instance.Quarantined, instance.Down, instance.Closed}

func (t *Telemetry) observe(o metric.Observer, s engine.Snapshot) {
	o.ObserveInt64(t.held, int64(s.Held), t.all)
	o.ObserveInt64(t.leading, int64(s.Leading), t.all)
	o.ObserveInt64(t.waiting, int64(s.Waiting), t.all)
	o.ObserveInt64(t.places, int64(s.Places), t.all)
	o.ObserveInt64(t.first, int64(s.First), t.all)
	o.ObserveInt64(t.dropped, int64(s.Dropped), t.all)
	for what, n := range map[string]uint64{"log": s.Untold.Log, "trace": s.Untold.Trace, "votes": s.Untold.Votes} {
		o.ObserveInt64(t.untold, int64(n), t.all, metric.WithAttributes(whatName.String(what)))
	}
	for _, i := range s.Instances {
		name := metric.WithAttributes(instanceName.String(i.Name))
		for _, state := range states {
			is := int64(0)
			if i.State == state {
				is = 1
			}
			o.ObserveInt64(t.state, is, t.all, name, metric.WithAttributes(stateName.String(state.String())))
		}
		o.ObserveInt64(t.mailbox, int64(i.Mailbox), t.all, name)
		o.ObserveFloat64(t.quarantine, i.Quarantine.Seconds(), t.all, name)
		o.ObserveFloat64(t.step, i.Stepped.Seconds(), t.all, name)
	}
}
