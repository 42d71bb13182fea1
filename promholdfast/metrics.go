package promholdfast

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// Options says how the metrics are made. The zero value works.
type Options struct {
	// Labels are added to every metric, to tell several engines of one process
	// apart. Default: none.
	Labels prometheus.Labels

	// Buckets are the upper bounds, in seconds and rising, of all histograms of
	// times. Default: DefaultBuckets.
	Buckets []float64
}

// DefaultBuckets are in seconds: from a round trip on one machine, 100 µs, to a wait of
// a minute.
var DefaultBuckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60,
}

// Metrics are the metrics of one engine. They are a prometheus.Collector: register
// them. Safe for concurrent use.
type Metrics struct {
	acquires   *prometheus.CounterVec
	wait       prometheus.Histogram
	rounds     prometheus.Histogram
	votes      *prometheus.CounterVec
	handover   *prometheus.HistogramVec
	vain       *prometheus.CounterVec
	renewals   *prometheus.CounterVec
	margin     prometheus.Histogram
	ended      *prometheus.CounterVec
	held       prometheus.Histogram
	changes    *prometheus.CounterVec
	trip       *prometheus.HistogramVec
	batch      *prometheus.HistogramVec
	collectors []prometheus.Collector // all of these

	gauges gauges
	engine atomic.Pointer[engine.Engine] // nil: none is attached
}

// New makes metrics that are all zero. The series of an instance come with Attach. It
// panics when Options.Buckets do not rise.
func New(o Options) *Metrics {
	if o.Buckets == nil {
		o.Buckets = DefaultBuckets
	}
	m := &Metrics{gauges: newGauges(o.Labels)}
	m.acquires = counter(m, o, "acquires_total", "Acquires that are over, by outcome.", "outcome")
	m.wait = histogram(m, o, "acquire_wait_seconds", "How long the granted acquires took.", o.Buckets)
	m.rounds = histogram(m, o, "acquire_rounds", "Rounds of votes that an acquire took.", []float64{0, 1, 2, 3, 5, 8, 13, 21, 34, 55})
	m.votes = counter(m, o, "votes_total", "Votes on acquires, by instance and kind.", "redis", "kind")
	m.handover = histograms(m, o, "handover_seconds", "How long a handover takes: from being told that the lock may be free to having it, by what told the waiter.", o.Buckets, "by")
	m.vain = counter(m, o, "vain_wakeups_total", "Waiters that were told that the lock may be free and did not get it, by what told them.", "by")
	m.renewals = counter(m, o, "renewals_total", "Renewals of leases, confirmed by a quorum or failed.", "result")
	m.margin = histogram(m, o, "renewal_margin_seconds", "Validity that was left when a renewal was confirmed.", o.Buckets)
	m.ended = counter(m, o, "leases_ended_total", "Leases that ended, by cause: expired, gone, stolen and max_hold are losses.", "cause")
	m.held = histogram(m, o, "lease_held_seconds", "How long leases were held.", o.Buckets)
	m.changes = counter(m, o, "instance_changes_total", "Changes of an instance's state, by the new one.", "redis", "state")
	m.trip = histograms(m, o, "pipeline_seconds", "Round trips of pipelines to an instance: how long a vote takes there.", o.Buckets, "redis")
	m.batch = histograms(m, o, "pipeline_messages", "Messages in a pipeline to an instance.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}, "redis")
	m.start()
	return m
}

// start makes the series of every label value that there can be. To Prometheus a
// series that begins with 1 has not risen: increase() would not see the first loss.
func (m *Metrics) start() {
	for _, outcome := range engine.Outcomes() {
		m.acquires.WithLabelValues(outcome)
	}
	for _, cause := range engine.Causes() {
		m.ended.WithLabelValues(cause)
	}
	for _, result := range []string{confirmed, failed} {
		m.renewals.WithLabelValues(result)
	}
	for by := engine.ByRelease; by <= engine.ByExpiry; by++ {
		m.handover.WithLabelValues(by.String())
		m.vain.WithLabelValues(by.String())
	}
}

// votes are what instances say to an acquire.
var votes = []instance.Kind{
	instance.Granted, instance.Held, instance.Stale, instance.Ahead, instance.Unreachable, instance.TimedOut, instance.Busy,
	instance.InQuarantine, instance.Refused,
}

// startInstance is start for an instance, whose name is a label.
func (m *Metrics) startInstance(name string) {
	for _, kind := range votes {
		m.votes.WithLabelValues(name, kind.String())
	}
	for _, state := range states {
		m.changes.WithLabelValues(name, state.String())
	}
	m.trip.WithLabelValues(name)
	m.batch.WithLabelValues(name)
}

// Attach names the engine whose state is shown: leases held, acquires waiting, the
// instances. Before that there are no gauges. The engine should be the one that has the
// Trace. It takes the place of an engine that was attached before.
func (m *Metrics) Attach(e *engine.Engine) {
	for _, i := range e.Instances() {
		m.startInstance(i.Name)
	}
	m.engine.Store(e)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(out)
	}
	m.gauges.describe(out)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(out)
	}
	if e := m.engine.Load(); e != nil {
		m.gauges.collect(out, e.Snapshot(0))
	}
}

const namespace = "holdfast"

func counter(m *Metrics, o Options, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: o.Labels}, labels)
	m.collectors = append(m.collectors, c)
	return c
}

func histograms(m *Metrics, o Options, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: o.Labels, Buckets: buckets}, labels)
	m.collectors = append(m.collectors, h)
	return h
}

func histogram(m *Metrics, o Options, name, help string, buckets []float64) prometheus.Histogram {
	return histograms(m, o, name, help, buckets).WithLabelValues().(prometheus.Histogram)
}
