// Package promholdfast makes Prometheus metrics of an engine.
//
//	metrics := promholdfast.New(promholdfast.Options{})
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: metrics.Trace()})
//	…
//	metrics.Attach(locks)
//	prometheus.MustRegister(metrics)
//
// The Trace counts what happens; what is so at the moment is read from the engine
// when it is scraped. A Trace of your own is joined with it by engine.JoinTraces.
//
// No resource and no token is ever a label: labels are outcomes, causes, kinds and
// states, which are fixed sets, and "redis", the name of an instance: "instance" is what Prometheus
// calls the process that it scrapes. The metrics are
// listed in docs/monitoring.md; monitoring/ has a Grafana dashboard and alerts.
package promholdfast
