package otelholdfast

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// histogram and counter are instruments that add the attributes of the options.
type (
	histogram struct {
		metric.Float64Histogram
		all metric.MeasurementOption
	}
	counter struct {
		metric.Int64Counter
		all metric.MeasurementOption
	}
)

func (h histogram) record(ctx context.Context, value float64, attributes ...attribute.KeyValue) {
	h.Record(ctx, value, h.all, metric.WithAttributes(attributes...))
}

func (c counter) count(attributes ...attribute.KeyValue) { c.countMany(1, attributes...) }

func (c counter) countMany(n int64, attributes ...attribute.KeyValue) {
	c.Add(context.Background(), n, c.all, metric.WithAttributes(attributes...))
}

// begin makes the series be there, with its 0.
func (c counter) begin(attributes ...attribute.KeyValue) {
	c.Add(context.Background(), 0, c.all, metric.WithAttributes(attributes...))
}

// maker makes instruments, and keeps the errors.
type maker struct {
	*Telemetry
	errs []error
}

func (m *maker) note(err error) {
	if err != nil {
		m.errs = append(m.errs, err)
	}
}

func (m *maker) seconds(name, text string) histogram {
	return m.histogram(name, "s", text, buckets...)
}

func (m *maker) histogram(name, unit, text string, bounds ...float64) histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(text), metric.WithExplicitBucketBoundaries(bounds...))
	m.note(err)
	return histogram{h, m.all}
}

func (m *maker) counter(name, unit, text string) counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
	m.note(err)
	return counter{c, m.all}
}

// observed makes those that are read from the engine.
func (m *maker) observed() {
	var err error
	m.held, err = m.meter.Int64ObservableUpDownCounter("holdfast.lease.held", metric.WithUnit("{lease}"), metric.WithDescription("Leases that the engine holds."))
	m.note(err)
	m.leading, err = m.meter.Int64ObservableUpDownCounter("holdfast.election.led", metric.WithUnit("{election}"), metric.WithDescription("Leases of the engine that are leaders of an election."))
	m.note(err)
	m.waiting, err = m.meter.Int64ObservableUpDownCounter("holdfast.acquire.waiting", metric.WithUnit("{acquire}"), metric.WithDescription("Acquires that wait, or are just asking."))
	m.note(err)
	m.places, err = m.meter.Int64ObservableUpDownCounter("holdfast.queue.places", metric.WithUnit("{place}"), metric.WithDescription("Places in queues that the engine has for its acquires, one for each resource."))
	m.note(err)
	m.first, err = m.meter.Int64ObservableUpDownCounter("holdfast.queue.first", metric.WithUnit("{place}"), metric.WithDescription("Places of the engine that are the first in their queues."))
	m.note(err)
	m.dropped, err = m.meter.Int64ObservableCounter("holdfast.loss.dropped", metric.WithUnit("{lease}"), metric.WithDescription("Losses that nobody read from Engine.Lost."))
	m.note(err)
	m.untold, err = m.meter.Int64ObservableCounter("holdfast.untold", metric.WithUnit("{event}"), metric.WithDescription("Lines of the log, calls of the trace and votes that were dropped because a func of the user's was too slow."))
	m.note(err)
	m.state, err = m.meter.Int64ObservableGauge("holdfast.instance.state", metric.WithUnit("1"), metric.WithDescription("1 for the state that the instance is in, 0 for the others."))
	m.note(err)
	m.mailbox, err = m.meter.Int64ObservableGauge("holdfast.instance.mailbox", metric.WithUnit("{message}"), metric.WithDescription("Messages that wait to be sent to the instance."))
	m.note(err)
	m.quarantine, err = m.meter.Float64ObservableGauge("holdfast.instance.quarantine", metric.WithUnit("s"), metric.WithDescription("How long the instance is still quarantined: it does not vote on new acquires; 0: it is not."))
	m.note(err)
	m.step, err = m.meter.Float64ObservableGauge("holdfast.instance.clock_step", metric.WithUnit("s"), metric.WithDescription("By how much the clock of the instance's server was last stepped, as renewals saw it; 0: never."))
	m.note(err)
}
