package otelholdfast

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// The attributes of ours.
const (
	outcomeName   = attribute.Key("holdfast.acquire.outcome")
	roundsName    = attribute.Key("holdfast.acquire.rounds")
	resourceName  = attribute.Key("holdfast.resource")
	kindName      = attribute.Key("holdfast.vote.kind")
	wakerName     = attribute.Key("holdfast.waker")
	grantedName   = attribute.Key("holdfast.granted")
	confirmedName = attribute.Key("holdfast.renewal.confirmed")
	whatName      = attribute.Key("holdfast.untold.what")
	causeName     = attribute.Key("holdfast.lease.cause")
	instanceName  = attribute.Key("holdfast.instance")
	stateName     = attribute.Key("holdfast.instance.state")
)

// Trace returns the Trace that measures. Put it into engine.Config.
func (t *Telemetry) Trace() *engine.Trace {
	background := context.Background()
	return &engine.Trace{
		Acquired: func(ctx context.Context, resource string, waited time.Duration, rounds int, err error) {
			outcome := outcomeName.String(engine.Outcome(err))
			t.acquires.count(outcome)
			t.acquire.record(ctx, waited.Seconds(), outcome)
			t.rounds.record(ctx, float64(rounds))
			t.span(ctx, resource, waited, rounds, err)
		},
		Vote: func(name string, says instance.Kind) {
			t.votes.count(instanceName.String(name), kindName.String(says.String()))
		},
		Woken: func(_ string, by engine.Waker, took time.Duration, granted bool) {
			t.handover.record(background, took.Seconds(), wakerName.String(by.String()), grantedName.Bool(granted))
		},
		Renewed: func(_ *lease.Lease, margin time.Duration, confirmed bool) {
			t.renewals.count(confirmedName.Bool(confirmed))
			if confirmed {
				t.margin.record(background, margin.Seconds())
			}
		},
		Ended: func(_ *lease.Lease, cause error, held time.Duration) {
			why := causeName.String(engine.Cause(cause))
			t.ended.count(why)
			t.lease.record(background, held.Seconds(), why)
		},
		Instance: func(h instance.Health) {
			t.changes.count(instanceName.String(h.Name), stateName.String(h.State.String()))
		},
		Pipeline: func(name string, messages int, took time.Duration) {
			t.trip.record(background, took.Seconds(), instanceName.String(name))
			t.batch.record(background, float64(messages), instanceName.String(name))
		},
	}
}

// span makes the span of an acquire that is over.
func (t *Telemetry) span(ctx context.Context, resource string, waited time.Duration, rounds int, err error) {
	now := time.Now()
	_, span := t.tracer.Start(ctx, "acquire", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now.Add(-waited)))
	defer span.End(trace.WithTimestamp(now))
	if !span.IsRecording() {
		return
	}
	outcome := engine.Outcome(err)
	attributes := append(slices.Clone(t.options.Attributes),
		semconv.DBSystemNameRedis, semconv.DBOperationName("acquire"), outcomeName.String(outcome), roundsName.Int(rounds))
	if t.options.Resources {
		attributes = append(attributes, resourceName.String(resource))
	}
	if err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(outcome))
	}
	span.SetAttributes(attributes...)
	switch outcome {
	case "no_quorum", "refused", "failed":
		span.SetStatus(codes.Error, outcome)
	}
	if err != nil && t.options.Resources {
		span.RecordError(err)
	}
}
