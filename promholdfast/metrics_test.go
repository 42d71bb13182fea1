package promholdfast_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
	"github.com/holdfast-go/holdfast/promholdfast"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const patience = 20 * time.Second

// watched is an engine on three servers, and its metrics in a registry.
type watched struct {
	*engine.Engine
	t        *testing.T
	servers  []*redistest.Server
	registry *prometheus.Registry
}

func watch(t *testing.T, cfg engine.Config) *watched {
	t.Helper()
	w := &watched{t: t, servers: redistest.StartN(t, 3), registry: prometheus.NewRegistry()}
	var instances []*instance.Instance
	for n, url := range redistest.URLs(w.servers) {
		i, err := instance.Dial(url, instance.Config{Name: fmt.Sprintf("redis-%d", n+1)})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		instances = append(instances, i)
	}
	m := promholdfast.New(promholdfast.Options{})
	w.registry.MustRegister(m)
	cfg.Trace = engine.JoinTraces(cfg.Trace, m.Trace())
	e, err := engine.New(instances, cfg)
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) }) // servers may have been stopped
	for _, i := range instances {
		<-i.Ready()
	}
	if got := w.value("holdfast_leases_held", ""); got != -1 {
		t.Errorf("gauges before there is an engine: %v", got)
	}
	m.Attach(e)
	w.Engine = e
	return w
}

// use makes every metric have something to say.
func (w *watched) use() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
	w.until("holdfast_votes_total", `kind="held"`, 1) // it is being refused, and will wait
	if _, err := w.TryAcquire(ctx, "secret-name"); err == nil {
		w.t.Error("it is held twice")
	}
	if err := l.Release(ctx); err != nil {
		w.t.Errorf("l.Release: %v", err)
	}
	if l = <-waiter; l == nil {
		w.t.FailNow()
	}
	w.until("holdfast_renewals_total", `result="confirmed"`, 1)
	for _, s := range w.servers {
		s.Set("secret-name", "somebody else", time.Minute)
	}
	<-l.Done()
}

// value is that of the metric that has the label; of a histogram, its count. It is
// -1 where there is none.
func (w *watched) value(name, label string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatalf("w.registry.Gather: %v", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if f.GetName() == name && strings.Contains(strings.Join(labels, ","), label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

// series are all that is emitted, as Prometheus names them.
func (w *watched) series() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatalf("w.registry.Gather: %v", err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := func(suffix string, more ...string) string {
				return f.GetName() + suffix + "{" + strings.Join(append(slices.Clone(labels), more...), ",") + "}"
			}
			h := m.GetHistogram()
			if h == nil {
				all[name("")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				continue
			}
			for _, b := range h.GetBucket() {
				all[name("_bucket", fmt.Sprintf(`le="%v"`, b.GetUpperBound()))] = float64(b.GetCumulativeCount())
			}
			all[name("_bucket", `le="+Inf"`)] = float64(h.GetSampleCount())
			all[name("_sum")], all[name("_count")] = h.GetSampleSum(), float64(h.GetSampleCount())
		}
	}
	return all
}

// until waits for the metric to reach the value, which may be about to happen: a lease
// is counted after its Done was closed.
func (w *watched) until(name, label string, least float64) {
	w.t.Helper()
	w.wait(name, label, least, func(got float64) bool { return got >= least })
}

// settles is until for a metric that has exactly the value in the end.
func (w *watched) settles(name, label string, want float64) {
	w.t.Helper()
	w.wait(name, label, want, func(got float64) bool { return got == want })
}

func (w *watched) wait(name, label string, want float64, there func(got float64) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got := w.value(name, label)
		if there(got) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s{%s} is %v, want %v", name, label, got, want)
		}
	}
}

func TestTheMetricsSayWhatHappened(t *testing.T) {
	asked := 0
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond, Trace: &engine.Trace{
		Acquired: func(context.Context, engine.AcquiredInfo) { asked++ },
	}})
	w.use()
	if asked != 3 {
		t.Errorf("the user's own trace was called %d times", asked)
	}
	for _, c := range []struct {
		name, label string
		want        float64
	}{
		{"holdfast_acquires_total", `outcome="granted"`, 2},
		{"holdfast_acquires_total", `outcome="held"`, 1},
		{"holdfast_acquire_wait_seconds", "", 2},
		{"holdfast_acquire_rounds", "", 3},
		{"holdfast_handover_seconds", `by="release"`, 1},
		{"holdfast_leases_ended_total", `cause="released"`, 1},
		{"holdfast_leases_ended_total", `cause="stolen"`, 1},
		{"holdfast_lease_held_seconds", "", 2},
		{"holdfast_leases_held", "", 0},
		{"holdfast_acquires_waiting", "", 0},
		{"holdfast_queue_places", "", 0},
		{"holdfast_queue_first", "", 0},
		{"holdfast_losses_dropped_total", "", 0},
		{"holdfast_untold_total", `what="log"`, 0},
		{"holdfast_untold_total", `what="trace"`, 0},
		{"holdfast_untold_total", `what="votes"`, 0},
		{"holdfast_instance_state", `redis="redis-3",state="up"`, 1},
		{"holdfast_instance_state", `redis="redis-3",state="down"`, 0},
		{"holdfast_mailbox_depth", `redis="redis-1"`, 0},
		{"holdfast_instance_quarantine_seconds", `redis="redis-1"`, 0},
	} {
		w.settles(c.name, c.label, c.want)
	}
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = w.Acquire(ctx, "secret-name") // which is somebody else's by now
	}()
	w.settles("holdfast_queue_places", "", 1)
	w.settles("holdfast_queue_first", "", 1)
	leave()
	<-over
	w.settles("holdfast_queue_places", "", 0)
	w.settles("holdfast_queue_first", "", 0)
	changes := func(state string) float64 {
		return w.value("holdfast_instance_changes_total", fmt.Sprintf(`redis="redis-2",state=%q`, state))
	}
	if n := changes("up") + changes("quarantined"); n != 1 { // quarantined until all have been seen
		t.Errorf("%v changes of state", n)
	}
	w.until("holdfast_votes_total", `kind="granted",redis="redis-3"`, 1) // its others may have been taken back
	w.until("holdfast_renewal_margin_seconds", "", 1)
	w.until("holdfast_pipeline_seconds", `redis="redis-1"`, 3)
	w.until("holdfast_pipeline_messages", `redis="redis-1"`, 3)

	w.servers[1].Kill()
	_, _ = w.TryAcquire(t.Context(), "probe") // the link breaks unnoticed until something is asked
	w.until("holdfast_instance_state", `redis="redis-2",state="down"`, 1)
	w.until("holdfast_instance_changes_total", `redis="redis-2",state="down"`, 1)
}

// Whatever comes to be counted was there with its 0 before: else increase() would not
// see the first of it.
func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond})
	before := w.series()
	for _, outcome := range engine.Outcomes() {
		if _, there := before[fmt.Sprintf("holdfast_acquires_total{outcome=%q}", outcome)]; !there {
			t.Errorf("outcome %s is not there", outcome)
		}
	}
	for _, cause := range engine.Causes() {
		if _, there := before[fmt.Sprintf("holdfast_leases_ended_total{cause=%q}", cause)]; !there {
			t.Errorf("cause %s is not there", cause)
		}
	}
	for series, value := range before { // connecting has been counted already
		if value != 0 && !strings.Contains(series, "_instance_") && !strings.Contains(series, "_pipeline_") {
			t.Errorf("%s begins with %v", series, value)
		}
	}
	w.use()
	w.servers[1].Kill()
	_, _ = w.TryAcquire(t.Context(), "probe")
	w.until("holdfast_instance_changes_total", `redis="redis-2",state="down"`, 1)
	for series := range w.series() {
		if _, there := before[series]; !there {
			t.Errorf("%s has come later", series)
		}
	}
}

// The series that the tests of the alerts begin with are those of a real exporter.
func TestTheAlertsAreTestedWithWhatIsEmitted(t *testing.T) {
	anonymous := func(series string) string {
		return regexp.MustCompile(`redis="[^"]*"`).ReplaceAllString(series, `redis="R"`)
	}
	emitted := make(map[string]bool)
	for series := range watch(t, engine.Config{}).series() {
		emitted[anonymous(series)] = true
	}
	scrape := regexp.MustCompile(`job="[^"]*",instance="[^"]*",?`)
	tested := regexp.MustCompile(`series: '([^']+)'`).FindAllStringSubmatch(read(t, alertsTest), -1)
	if len(tested) == 0 {
		t.Fatal("there are none")
	}
	for _, m := range tested {
		if series := anonymous(scrape.ReplaceAllString(m[1], "")); !emitted[series] {
			t.Errorf("%s is not among %q", series, slices.Sorted(maps.Keys(emitted)))
		}
	}
}

// A server whose clock was stepped shows with its size and its time.
func TestClockSteps(t *testing.T) {
	servers := redistest.StartSteppableN(t, 1)
	i, err := instance.Dial(servers[0].URL(), instance.Config{Name: "redis-1"})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	w := &watched{t: t, registry: prometheus.NewRegistry()}
	m := promholdfast.New(promholdfast.Options{})
	w.registry.MustRegister(m)
	began := time.Now()
	w.Engine, err = engine.New([]*instance.Instance{i}, engine.Config{TTL: 5 * time.Second, RenewEvery: 50 * time.Millisecond, Trace: m.Trace()})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	m.Attach(w.Engine)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.Acquire(ctx, "job"); err != nil {
		t.Fatalf("w.Acquire: %v", err)
	}
	w.until("holdfast_renewals_total", `result="confirmed"`, 2)
	w.settles("holdfast_instance_clock_step_seconds", `redis="redis-1"`, 0)
	w.settles("holdfast_instance_clock_stepped_at_seconds", `redis="redis-1"`, 0)
	servers[0].StepClock(2 * time.Second)
	w.until("holdfast_instance_clock_step_seconds", `redis="redis-1"`, 1.9)
	w.until("holdfast_instance_clock_stepped_at_seconds", `redis="redis-1"`, float64(began.Unix()))
}

// A resource may be a user's name, and there may be a million.
func TestNoLabelHasAResourceOrAToken(t *testing.T) {
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond, Owner: "secret-owner"})
	w.use()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatalf("w.registry.Gather: %v", err)
	}
	for _, f := range families {
		if text := f.String(); strings.Contains(text, "secret") {
			t.Errorf("want no secret shown, got %s", text)
		}
	}
}

func TestTheMetricsAreAsPrometheusWantsThem(t *testing.T) {
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond})
	w.use()
	problems, err := testutil.GatherAndLint(w.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("the metrics' names: got %v, %+v, want no problem", err, problems)
	}
}

// Each resource of a batch counts, whether there are results or not.
func TestTheResourcesOfATryAcquireEachAreCounted(t *testing.T) {
	m := promholdfast.New(promholdfast.Options{})
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatalf("registry.Register: %v", err)
	}
	each := m.Trace().Each
	each(t.Context(), engine.EachInfo{Resources: 3, Results: []engine.Each{{Lease: new(lease.Lease)}, {Err: engine.ErrHeld}, {Err: engine.ErrHeld}}})
	each(t.Context(), engine.EachInfo{Resources: 5, Err: context.Canceled})
	want := `
# HELP holdfast_acquires_total Acquires that are over, by outcome.
# TYPE holdfast_acquires_total counter
`
	for _, outcome := range slices.Sorted(slices.Values(engine.Outcomes())) {
		want += fmt.Sprintf("holdfast_acquires_total{outcome=%q} %d\n", outcome, map[string]int{"granted": 1, "held": 2, "canceled": 5}[outcome])
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "holdfast_acquires_total"); err != nil {
		t.Errorf("testutil.GatherAndCompare: %v", err)
	}
}

func TestEnginesAreToldApartByTheirLabels(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"orders", "reports"} {
		m := promholdfast.New(promholdfast.Options{Labels: prometheus.Labels{"engine": name}, Buckets: []float64{1, 2}})
		m.Trace().Acquired(t.Context(), engine.AcquiredInfo{Resource: "r", Waited: 3 * time.Second, Rounds: 1})
		if err := registry.Register(m); err != nil {
			t.Errorf("registry.Register: %v", err)
		}
	}
	want := `
# HELP holdfast_acquire_wait_seconds How long the granted acquires took.
# TYPE holdfast_acquire_wait_seconds histogram
`
	for _, name := range []string{"orders", "reports"} {
		want += strings.ReplaceAll(`holdfast_acquire_wait_seconds_bucket{engine="E",le="1"} 0
holdfast_acquire_wait_seconds_bucket{engine="E",le="2"} 0
holdfast_acquire_wait_seconds_bucket{engine="E",le="+Inf"} 1
holdfast_acquire_wait_seconds_sum{engine="E"} 3
holdfast_acquire_wait_seconds_count{engine="E"} 1
`, "E", name)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "holdfast_acquire_wait_seconds"); err != nil {
		t.Errorf("testutil.GatherAndCompare: %v", err)
	}
}
