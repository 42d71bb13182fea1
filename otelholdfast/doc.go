// Package otelholdfast makes OpenTelemetry metrics and spans of an engine.
//
//	telemetry, err := otelholdfast.New(otelholdfast.Options{})
//	…
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: telemetry.Trace()})
//	…
//	err = telemetry.Attach(locks)
//	defer telemetry.Close()
//
// engine.JoinTraces joins the Trace with one of your own.
//
// # Contract
//
//   - Counters, histograms and spans are of what the Trace hears. The observable
//     instruments are read from the engine when the provider collects.
//   - No resource and no token is ever an attribute of a metric.
//   - Times are in seconds. A Trace that is too slow never delays a lock: events are
//     dropped and counted (holdfast.untold). Only the span of an acquire is made on the
//     goroutine of its caller.
//
// # Spans
//
// Every Acquire and TryAcquire is a span "acquire" of kind client, a child of the
// span in its context, with the attributes
//
//	db.system.name              "redis"
//	db.operation.name           "acquire"
//	holdfast.acquire.outcome    granted, held, no_quorum, refused, timeout, canceled, closed or failed
//	holdfast.acquire.rounds     rounds of votes that it took
//	holdfast.resource           the resource, with Options.Resources only
//	error.type                  the outcome, if it was not granted
//
// A TryAcquireEach is one span "acquire each" for all of its resources, with their number
// (db.operation.batch.size) and how many were granted (holdfast.acquire.granted).
//
// The status is Error when there was no quorum or something failed. It is no error
// that somebody else holds the lock, or that the caller gave up. The error's text,
// which names the resource, is recorded with Options.Resources only.
//
// # Metrics
//
//	holdfast.acquire.count       {acquire}  counter; holdfast.acquire.outcome
//	holdfast.acquire.duration    s          histogram; holdfast.acquire.outcome
//	holdfast.acquire.rounds      {round}    histogram
//	holdfast.acquire.waiting     {acquire}  up-down counter
//	holdfast.queue.places        {place}    up-down counter
//	holdfast.queue.first         {place}    up-down counter
//	holdfast.vote.count          {vote}     counter; holdfast.instance, holdfast.vote.kind
//	holdfast.handover.duration   s          histogram; holdfast.waker, holdfast.granted
//	holdfast.renewal.count       {renewal}  counter; holdfast.renewal.confirmed
//	holdfast.renewal.margin      s          histogram
//	holdfast.lease.held          {lease}    up-down counter
//	holdfast.election.led        {election} up-down counter
//	holdfast.lease.ended         {lease}    counter; holdfast.lease.cause
//	holdfast.lease.duration      s          histogram; holdfast.lease.cause
//	holdfast.loss.dropped        {lease}    counter
//	holdfast.untold              {event}    counter; holdfast.untold.what
//	holdfast.instance.state      1          gauge; holdfast.instance, holdfast.instance.state
//	holdfast.instance.quarantine s          gauge; holdfast.instance
//	holdfast.instance.clock_step s          gauge; holdfast.instance
//	holdfast.instance.mailbox    {message}  gauge; holdfast.instance
//	holdfast.instance.changes    {change}   counter; holdfast.instance, holdfast.instance.state
//	holdfast.pipeline.duration   s          histogram; holdfast.instance
//	holdfast.pipeline.messages   {message}  histogram; holdfast.instance
//
// docs/monitoring.md says what each means, by its name in Prometheus.
//
// The series of every counter are there with their 0 from New on, those of an
// instance from Attach on: a rate sees the first loss. Set the global meter provider
// before New: what is counted before is not kept. A histogram has no 0: its series
// begin with their first value. So alert on holdfast.lease.ended, and not on the count
// of holdfast.lease.duration.
package otelholdfast
