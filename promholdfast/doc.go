// Package promholdfast makes Prometheus metrics of an engine.
//
//	metrics := promholdfast.New(promholdfast.Options{})
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: metrics.Trace()})
//	…
//	metrics.Attach(locks)
//	prometheus.MustRegister(metrics)
//
// engine.JoinTraces joins the Trace with one of your own.
//
// # Contract
//
//   - Counters and histograms count what the Trace hears. Gauges are read from the
//     engine when Prometheus scrapes.
//   - Every series is there with its 0 from the start; those of an instance, from
//     Attach on. So increase() sees the first event of each kind.
//   - No resource and no token is ever a label. Labels are outcomes, causes, kinds and
//     states, which are fixed sets, and "redis", the name of an instance. ("instance" is
//     the label of the process that Prometheus scrapes.)
//   - Times are in seconds, moments in seconds of Unix time.
//   - A Trace that is too slow is dropped from and counted: holdfast_untold_total. It
//     never delays a lock.
//
// # Picture
//
//	engine ── Trace ─────▶ counters, histograms ─┐
//	   └───── Snapshot ──▶ gauges ───────────────┴──▶ Collect, at each scrape
//
// docs/monitoring.md lists the metrics and the alerts; monitoring/ has them for
// Prometheus, and a dashboard for Grafana.
package promholdfast
