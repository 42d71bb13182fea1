package otelholdfast_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
	"github.com/holdfast-go/holdfast/otelholdfast"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const patience = 20 * time.Second

// watched is an engine on three servers, and what its telemetry has said.
type watched struct {
	*engine.Engine
	t       *testing.T
	servers []*redistest.Server
	reader  *sdk.ManualReader
	spans   *tracetest.SpanRecorder
	tracer  trace.Tracer
}

func watch(t *testing.T, o otelholdfast.Options) *watched {
	t.Helper()
	w := &watched{t: t, servers: redistest.StartN(t, 3), reader: sdk.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	meters := sdk.NewMeterProvider(sdk.WithReader(w.reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans))
	w.tracer = tracers.Tracer("test")
	o.MeterProvider, o.TracerProvider = meters, tracers
	telemetry, err := otelholdfast.New(o)
	if err != nil {
		t.Fatalf("otelholdfast.New: %v", err)
	}
	var instances []*instance.Instance
	for n, url := range redistest.URLs(w.servers) {
		i, err := instance.Dial(url, instance.Config{Name: fmt.Sprintf("redis-%d", n+1)})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		instances = append(instances, i)
	}
	w.Engine, err = engine.New(instances, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond, Trace: telemetry.Trace()})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	if err := telemetry.Attach(w.Engine); err != nil {
		t.Fatalf("telemetry.Attach: %v", err)
	}
	if err := telemetry.Attach(w.Engine); err == nil {
		t.Error("two engines can be attached")
	}
	t.Cleanup(func() {
		_ = w.Close(context.Background())
		if err := telemetry.Close(); err != nil {
			t.Errorf("telemetry.Close: %v", err)
		}
		if got := w.series("holdfast.lease.held"); len(got) > 0 {
			t.Errorf("after Close: %v", got)
		}
		_, _ = meters.Shutdown(context.Background()), tracers.Shutdown(context.Background())
	})
	for _, i := range instances {
		<-i.Ready()
	}
	return w
}

// series is the values of a metric by its attributes; of a histogram, the counts.
func (w *watched) series(name string) map[string]float64 {
	w.t.Helper()
	values := make(map[string]float64)
	for _, m := range w.metrics() {
		if m.Name != name {
			continue
		}
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				values[key(p.Attributes)] = float64(p.Count)
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				values[key(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				values[key(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				values[key(p.Attributes)] = p.Value
			}
		default:
			w.t.Errorf("%s is a %T", name, data)
		}
	}
	return values
}

// key is the attributes of a metric, but for the user's own.
func key(all attribute.Set) string {
	own, _ := all.Filter(func(a attribute.KeyValue) bool { return strings.HasPrefix(string(a.Key), "holdfast.") })
	return own.Encoded(attribute.DefaultEncoder())
}

func (w *watched) metrics() (all []metricdata.Metrics) {
	w.t.Helper()
	var collected metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &collected); err != nil {
		w.t.Fatalf("w.reader.Collect: %v", err)
	}
	for _, s := range collected.ScopeMetrics {
		all = append(all, s.Metrics...)
	}
	return all
}

// until waits for the metric to reach the value, which may be about to happen: a lease
// is counted after its Done was closed.
func (w *watched) until(name, attributes string, least float64) {
	w.t.Helper()
	w.wait(name, attributes, least, func(got float64) bool { return got >= least })
}

// settles is until for a metric that has exactly the value in the end.
func (w *watched) settles(name, attributes string, want float64) {
	w.t.Helper()
	w.wait(name, attributes, want, func(got float64) bool { return got == want })
}

func (w *watched) wait(name, attributes string, want float64, there func(got float64) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		series := w.series(name)
		if got, ok := series[attributes]; ok && there(got) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %v, want %s to be %v", name, series, attributes, want)
		}
	}
}

// held is how many votes of any instance have said so.
func (w *watched) held() (n float64) {
	for attributes, count := range w.series("holdfast.vote.count") {
		if strings.HasSuffix(attributes, "holdfast.vote.kind=held") {
			n += count
		}
	}
	return n
}

// use makes every metric have something to say.
func (w *watched) use(ctx context.Context) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := w.Acquire(ctx, "secret-name")
	if err != nil {
		w.t.Fatalf("w.Acquire: %v", err)
	}
	waiter := make(chan *lease.Lease, 1)
	go func() {
		l, err := w.Acquire(ctx, "secret-name")
		if err != nil {
			w.t.Errorf("w.Acquire: %v", err)
		}
		waiter <- l
	}()
	for w.held() == 0 && ctx.Err() == nil { // it is being refused, and will wait
		time.Sleep(time.Millisecond)
	}
	if _, err := w.TryAcquire(ctx, "secret-name"); err == nil {
		w.t.Error("it is held twice")
	}
	if err := l.Release(ctx); err != nil {
		w.t.Errorf("l.Release: %v", err)
	}
	if l = <-waiter; l == nil {
		w.t.FailNow()
	}
	w.until("holdfast.renewal.count", "holdfast.renewal.confirmed=true", 1)
	for _, s := range w.servers {
		s.Set("secret-name", "somebody else", time.Minute)
	}
	<-l.Done()
}

func TestTheMetricsSayWhatHappened(t *testing.T) {
	w := watch(t, otelholdfast.Options{})
	w.use(t.Context())
	for _, c := range []struct {
		name, attributes string
		want             float64
	}{
		{"holdfast.acquire.duration", "holdfast.acquire.outcome=granted", 2},
		{"holdfast.acquire.duration", "holdfast.acquire.outcome=held", 1},
		{"holdfast.acquire.count", "holdfast.acquire.outcome=granted", 2},
		{"holdfast.acquire.count", "holdfast.acquire.outcome=held", 1},
		{"holdfast.acquire.rounds", "", 3},
		{"holdfast.acquire.waiting", "", 0},
		{"holdfast.queue.places", "", 0},
		{"holdfast.queue.first", "", 0},
		{"holdfast.handover.duration", "holdfast.granted=true,holdfast.waker=release", 1},
		{"holdfast.lease.duration", "holdfast.lease.cause=released", 1},
		{"holdfast.lease.duration", "holdfast.lease.cause=stolen", 1},
		{"holdfast.lease.ended", "holdfast.lease.cause=released", 1},
		{"holdfast.lease.ended", "holdfast.lease.cause=stolen", 1},
		{"holdfast.lease.held", "", 0},
		{"holdfast.loss.dropped", "", 0},
		{"holdfast.untold", "holdfast.untold.what=log", 0},
		{"holdfast.untold", "holdfast.untold.what=trace", 0},
		{"holdfast.untold", "holdfast.untold.what=votes", 0},
		{"holdfast.instance.state", "holdfast.instance=redis-2,holdfast.instance.state=up", 1},
		{"holdfast.instance.state", "holdfast.instance=redis-2,holdfast.instance.state=down", 0},
		{"holdfast.instance.mailbox", "holdfast.instance=redis-3", 0},
		{"holdfast.instance.quarantine", "holdfast.instance=redis-3", 0},
		{"holdfast.instance.clock_step", "holdfast.instance=redis-3", 0},
	} {
		w.settles(c.name, c.attributes, c.want)
	}
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = w.Acquire(ctx, "secret-name") // which is somebody else's by now
	}()
	w.settles("holdfast.queue.places", "", 1)
	w.settles("holdfast.queue.first", "", 1)
	leave()
	<-over
	w.until("holdfast.vote.count", "holdfast.instance=redis-3,holdfast.vote.kind=granted", 1) // its others may have been taken back
	w.until("holdfast.renewal.margin", "", 1)
	w.until("holdfast.pipeline.duration", "holdfast.instance=redis-1", 3)
	w.until("holdfast.pipeline.messages", "holdfast.instance=redis-1", 3)
	changes := w.series("holdfast.instance.changes")
	up := changes["holdfast.instance=redis-1,holdfast.instance.state=up"]
	if young := changes["holdfast.instance=redis-1,holdfast.instance.state=quarantined"]; up+young != 1 { // until all have been seen
		t.Errorf("redis-1 came up %v times and was quarantined %v times, want 1 of both together", up, young)
	}
	for _, m := range w.metrics() {
		if text := fmt.Sprintf("%+v", m.Data); strings.Contains(text, "secret") {
			t.Errorf("%s has a resource: %s", m.Name, text)
		}
	}
}

// The package's documentation has all metrics, with their units, and no others.
func TestEveryCounterIsThereFromTheStart(t *testing.T) {
	w := watch(t, otelholdfast.Options{})
	begun := func(name, attributes string) {
		t.Helper()
		if _, there := w.series(name)[attributes]; !there {
			t.Errorf("%s has no series %s: %v", name, attributes, w.series(name))
		}
	}
	for _, outcome := range engine.Outcomes() {
		begun("holdfast.acquire.count", "holdfast.acquire.outcome="+outcome)
	}
	for _, cause := range engine.Causes() {
		begun("holdfast.lease.ended", "holdfast.lease.cause="+cause)
	}
	begun("holdfast.renewal.count", "holdfast.renewal.confirmed=false")
	begun("holdfast.renewal.count", "holdfast.renewal.confirmed=true")
	for _, kind := range []instance.Kind{instance.Granted, instance.Held, instance.TimedOut, instance.InQuarantine, instance.Refused} {
		begun("holdfast.vote.count", "holdfast.instance=redis-1,holdfast.vote.kind="+kind.String())
	}
	begun("holdfast.instance.changes", "holdfast.instance=redis-1,holdfast.instance.state=down")
	before := len(w.series("holdfast.lease.ended")) + len(w.series("holdfast.acquire.count")) + len(w.series("holdfast.vote.count"))
	w.use(t.Context())
	w.settles("holdfast.lease.ended", "holdfast.lease.cause=stolen", 1)
	if after := len(w.series("holdfast.lease.ended")) + len(w.series("holdfast.acquire.count")) + len(w.series("holdfast.vote.count")); after != before {
		t.Errorf("%d series have become %d", before, after)
	}
}

func TestTheDocumentationNamesTheMetrics(t *testing.T) {
	w := watch(t, otelholdfast.Options{})
	w.use(t.Context())
	w.until("holdfast.renewal.margin", "", 1)
	var there []string
	for _, m := range w.metrics() {
		there = append(there, m.Name+" "+m.Unit)
	}
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	var documented []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(holdfast\.\S+) +(s|1|\{\w+\}) `).FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, line[1]+" "+line[2])
	}
	slices.Sort(there)
	slices.Sort(documented)
	if !slices.Equal(there, documented) {
		t.Errorf("there are\n%q\ndocumented are\n%q", there, documented)
	}
}

func TestAnAcquireIsASpanInItsContext(t *testing.T) {
	for _, named := range []bool{false, true} {
		w := watch(t, otelholdfast.Options{Resources: named, Attributes: []attribute.KeyValue{attribute.String("engine", "orders")}})
		ctx, parent := w.tracer.Start(t.Context(), "parent")
		began := time.Now()
		w.use(ctx)
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := w.Acquire(short, "secret-name"); err == nil {
			t.Fatal("it was free")
		}
		for _, s := range w.servers[:2] {
			s.Kill()
		}
		if _, err := w.TryAcquire(ctx, "another"); err == nil {
			t.Fatal("there was a quorum")
		}
		parent.End()

		outcomes := make(map[string]int)
		for _, s := range w.spans.Ended() {
			if s.Name() == "parent" {
				continue
			}
			attributes := attribute.NewSet(s.Attributes()...)
			value := func(key attribute.Key) string {
				v, _ := attributes.Value(key)
				return v.String()
			}
			outcome := value("holdfast.acquire.outcome")
			outcomes[outcome]++
			if s.Name() != "acquire" || s.SpanKind() != trace.SpanKindClient || s.Parent().SpanID() != parent.SpanContext().SpanID() {
				t.Errorf("%s %v of %v", s.Name(), s.SpanKind(), s.Parent())
			}
			if s.StartTime().Before(began) || s.EndTime().Before(s.StartTime()) || s.EndTime().After(time.Now()) {
				t.Errorf("%s: from %v to %v", outcome, s.StartTime(), s.EndTime())
			}
			if outcome == "timeout" && s.EndTime().Sub(s.StartTime()) < 50*time.Millisecond {
				t.Errorf("it timed out after %v", s.EndTime().Sub(s.StartTime()))
			}
			if value("db.system.name") != "redis" || value("db.operation.name") != "acquire" || value("engine") != "orders" {
				t.Errorf("the span's attributes: got %v, want redis, acquire and the engine orders", s.Attributes())
			}
			if (value("error.type") == outcome) != (outcome != "granted") {
				t.Errorf("%s: error.type %q", outcome, value("error.type"))
			}
			if want := map[bool]codes.Code{true: codes.Error}[outcome == "no_quorum"]; s.Status().Code != want {
				t.Errorf("%s: the span's status is %v, want %v", outcome, s.Status(), want)
			}
			text := fmt.Sprintf("%+v %+v %+v", s.Attributes(), s.Events(), s.Status())
			if strings.Contains(text, "secret-name") != (named && outcome != "no_quorum") {
				t.Errorf("named: %v, %s", named, text)
			}
		}
		if want := fmt.Sprint(map[string]int{"granted": 2, "held": 1, "timeout": 1, "no_quorum": 1}); fmt.Sprint(outcomes) != want {
			t.Errorf("%v, want %s", outcomes, want)
		}
	}
}
