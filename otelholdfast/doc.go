// Package otelholdfast makes OpenTelemetry metrics and spans of an engine.
//
//	telemetry, err := otelholdfast.New(otelholdfast.Options{})
//	…
//	locks, err := engine.Open(ctx, urls, engine.Config{Trace: telemetry.Trace()})
//	…
//	err = telemetry.Attach(locks)
//	defer telemetry.Close()
//
// A Trace of your own is joined with it by engine.JoinTraces.
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
//	holdfast.resource           with Options.Resources only: what was to be locked
//	error.type                  the outcome, if it was not granted
//
// and the status Error where no quorum could be had or something failed: that
// somebody else holds the lock, or that the caller gave up, is no error. The error's
// text, which names the resource, is recorded with Options.Resources only.
//
// # Metrics
//
//	holdfast.acquire.count       {acquire}  counter; holdfast.acquire.outcome
//	holdfast.acquire.duration    s          histogram; holdfast.acquire.outcome
//	holdfast.acquire.rounds      {round}    histogram
//	holdfast.acquire.waiting     {acquire}  up-down counter
//	holdfast.vote.count          {vote}     counter; holdfast.instance, holdfast.vote.kind
//	holdfast.handover.duration   s          histogram; holdfast.waker, holdfast.granted
//	holdfast.renewal.count       {renewal}  counter; holdfast.renewal.confirmed
//	holdfast.renewal.margin      s          histogram
//	holdfast.lease.held          {lease}    up-down counter
//	holdfast.lease.ended         {lease}    counter; holdfast.lease.cause
//	holdfast.lease.duration      s          histogram; holdfast.lease.cause
//	holdfast.loss.dropped        {lease}    counter
//	holdfast.untold              {event}    counter; holdfast.untold.what
//	holdfast.instance.state      1          gauge; holdfast.instance, holdfast.instance.state
//	holdfast.instance.recovering s          gauge; holdfast.instance
//	holdfast.instance.clock_step s          gauge; holdfast.instance
//	holdfast.instance.mailbox    {message}  gauge; holdfast.instance
//	holdfast.instance.changes    {change}   counter; holdfast.instance, holdfast.instance.state
//	holdfast.pipeline.duration   s          histogram; holdfast.instance
//	holdfast.pipeline.messages   {message}  histogram; holdfast.instance
//
// What they say is what docs/monitoring.md says of those for Prometheus. No
// resource and no token is ever an attribute of a metric.
//
// The series of every counter are there with their 0 from New on, those of an
// instance from Attach on: a rate sees the first loss. With the global meter provider,
// set it before New, since what is counted before is not kept. A histogram cannot be
// begun with nothing: its series begin with their first value, so alert on
// holdfast.lease.ended, and not on the count of holdfast.lease.duration.
package otelholdfast
