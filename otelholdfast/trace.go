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
)

// The attributes of ours.
const (
	outcomeName   = attribute.Key("holdfast.acquire.outcome")
	roundsName    = attribute.Key("holdfast.acquire.rounds")
	resourceName  = attribute.Key("holdfast.resource")
	kindName      = attribute.Key("holdfast.vote.kind")
	wakerName     = attribute.Key("holdfast.waker")
	grantedName   = attribute.Key("holdfast.granted")
	grantedCount  = attribute.Key("holdfast.acquire.granted")
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
		Acquired: func(ctx context.Context, a engine.AcquiredInfo) {
			outcome := outcomeName.String(engine.Outcome(a.Err))
			t.acquires.count(outcome)
			t.acquire.record(ctx, a.Waited.Seconds(), outcome)
			t.rounds.record(ctx, float64(a.Rounds))
			t.span(ctx, a)
		},
		Each: func(ctx context.Context, each engine.EachInfo) {
			for outcome, n := range outcomesOf(each) {
				t.acquires.countMany(n, outcomeName.String(outcome))
			}
			t.eachSpan(ctx, each)
		},
		Vote: func(v engine.VoteInfo) {
			t.votes.count(instanceName.String(v.Instance), kindName.String(v.Kind.String()))
		},
		Woken: func(w engine.WokenInfo) {
			t.handover.record(background, w.Took.Seconds(), wakerName.String(w.By.String()), grantedName.Bool(w.Granted))
		},
		Renewed: func(r engine.RenewedInfo) {
			t.renewals.count(confirmedName.Bool(r.Confirmed))
			if r.Confirmed {
				t.margin.record(background, r.Margin.Seconds())
			}
		},
		Ended: func(e engine.EndedInfo) {
			why := causeName.String(engine.Cause(e.Cause))
			t.ended.count(why)
			t.lease.record(background, e.Held.Seconds(), why)
		},
		Instance: func(h instance.Health) {
			t.changes.count(instanceName.String(h.Name), stateName.String(h.State.String()))
		},
		Pipeline: func(p engine.PipelineInfo) {
			t.trip.record(background, p.Took.Seconds(), instanceName.String(p.Instance))
			t.batch.record(background, float64(p.Messages), instanceName.String(p.Instance))
		},
	}
}

// span makes the span of an acquire that is over.
func (t *Telemetry) span(ctx context.Context, a engine.AcquiredInfo) {
	now := time.Now()
	_, span := t.tracer.Start(ctx, "acquire", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now.Add(-a.Waited)))
	defer span.End(trace.WithTimestamp(now))
	if !span.IsRecording() {
		return
	}
	outcome := engine.Outcome(a.Err)
	attributes := append(slices.Clone(t.options.Attributes),
		semconv.DBSystemNameRedis, semconv.DBOperationName("acquire"), outcomeName.String(outcome), roundsName.Int(a.Rounds))
	if t.options.Resources {
		attributes = append(attributes, resourceName.String(a.Resource))
	}
	if a.Err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(outcome))
	}
	span.SetAttributes(attributes...)
	switch outcome {
	case "no_quorum", "refused", "failed":
		span.SetStatus(codes.Error, outcome)
	}
	if a.Err != nil && t.options.Resources {
		span.RecordError(a.Err)
	}
}

// outcomesOf counts what became of the resources of a TryAcquireEach.
func outcomesOf(each engine.EachInfo) map[string]int64 {
	outcomes := make(map[string]int64)
	if each.Err != nil {
		outcomes[engine.Outcome(each.Err)] = int64(each.Resources)
	}
	for k := range each.Results {
		outcomes[engine.Outcome(each.Results[k].Err)]++
	}
	return outcomes
}

// eachSpan makes the span of a TryAcquireEach that is over: one for all of its resources, which is an error when there are
// no results.
func (t *Telemetry) eachSpan(ctx context.Context, each engine.EachInfo) {
	now := time.Now()
	_, span := t.tracer.Start(ctx, "acquire each", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now.Add(-each.Waited)))
	defer span.End(trace.WithTimestamp(now))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(append(slices.Clone(t.options.Attributes),
		semconv.DBSystemNameRedis, semconv.DBOperationName("acquire each"), semconv.DBOperationBatchSize(each.Resources),
		grantedCount.Int(each.Granted()))...)
	if each.Err != nil {
		outcome := engine.Outcome(each.Err)
		span.SetAttributes(outcomeName.String(outcome), semconv.ErrorTypeKey.String(outcome))
		if outcome == "failed" {
			span.SetStatus(codes.Error, outcome)
		}
	}
}
