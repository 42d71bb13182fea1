package promholdfast

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// gauges is what is read from the engine when it is scraped.
type gauges struct {
	leases, waiting, dropped, untold  *prometheus.Desc
	leading                           *prometheus.Desc
	places, first                     *prometheus.Desc
	state, since, mailbox, quarantine *prometheus.Desc // one an instance
	step, stepped                     *prometheus.Desc // one an instance
}

func newGauges(constant prometheus.Labels) gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, constant)
	}
	return gauges{
		leases:     desc("leases_held", "Leases that the engine holds."),
		leading:    desc("elections_led", "Leases of the engine that are leaders of an election."),
		waiting:    desc("acquires_waiting", "Acquires that wait, or are just asking."),
		places:     desc("queue_places", "Places in queues that the engine has for its acquires, one for each resource."),
		first:      desc("queue_first", "Places of the engine that are the first in their queues."),
		dropped:    desc("losses_dropped_total", "Losses that were dropped because nobody read Engine.Lost."),
		untold:     desc("untold_total", "Lines of the log, calls of the trace and votes that were dropped because a func of the user's was too slow.", "what"),
		state:      desc("instance_state", "1 for the state that the instance is in, 0 for the others.", "redis", "state"),
		since:      desc("instance_state_since_seconds", "Since when the instance is in its state, as a Unix time.", "redis"),
		mailbox:    desc("mailbox_depth", "Messages that wait to be sent to the instance.", "redis"),
		quarantine: desc("instance_quarantine_seconds", "How long the instance is still quarantined: it does not vote on new acquires; 0: it is not.", "redis"),
		step:       desc("instance_clock_step_seconds", "By how much the clock of the instance's server was last stepped, as renewals saw it; 0: never.", "redis"),
		stepped:    desc("instance_clock_stepped_at_seconds", "When that was noticed, as a Unix time; 0: never.", "redis"),
	}
}

func (g gauges) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.leases, g.leading, g.waiting, g.places, g.first, g.dropped, g.untold, g.state, g.since, g.mailbox, g.quarantine, g.step, g.stepped} {
		out <- d
	}
}

var states = []instance.State{instance.Connecting, instance.Up, instance.Quarantined, instance.Down, instance.Closed}

func (g gauges) collect(out chan<- prometheus.Metric, s engine.Snapshot) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(g.leases, float64(s.Held))
	gauge(g.leading, float64(s.Leading))
	gauge(g.waiting, float64(s.Waiting))
	gauge(g.places, float64(s.Places))
	gauge(g.first, float64(s.First))
	out <- prometheus.MustNewConstMetric(g.dropped, prometheus.CounterValue, float64(s.Dropped))
	for what, n := range map[string]uint64{"log": s.Untold.Log, "trace": s.Untold.Trace, "votes": s.Untold.Votes} {
		out <- prometheus.MustNewConstMetric(g.untold, prometheus.CounterValue, float64(n), what)
	}
	for _, i := range s.Instances {
		for _, state := range states {
			is := 0.0
			if i.State == state {
				is = 1
			}
			gauge(g.state, is, i.Name, state.String())
		}
		gauge(g.since, float64(i.Since.UnixMilli())/1000, i.Name)
		gauge(g.mailbox, float64(i.Mailbox), i.Name)
		gauge(g.quarantine, i.Quarantine.Seconds(), i.Name)
		gauge(g.step, i.Stepped.Seconds(), i.Name)
		stepped := 0.0
		if !i.SteppedAt.IsZero() {
			stepped = float64(i.SteppedAt.UnixMilli()) / 1000
		}
		gauge(g.stepped, stepped, i.Name)
	}
}
