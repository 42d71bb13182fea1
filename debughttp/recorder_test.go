package debughttp

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// names are as the snapshot would have them.
func names(all ...string) (views []instanceView) {
	for _, name := range all {
		views = append(views, instanceView{Name: name})
	}
	return views
}

// series finds a line, and returns its last points.
func series(t *testing.T, h *history, title, name string, last int) []number {
	t.Helper()
	for _, p := range h.Plots {
		for _, s := range p.Series {
			if p.Title == title && s.Name == name {
				if len(s.Points) != points {
					t.Fatalf("%s of %s has %d points", name, title, len(s.Points))
				}
				return s.Points[points-last:]
			}
		}
	}
	t.Fatalf("%s has no %s", title, name)
	return nil
}

// near compares points; what is below zero in want is none.
func near(t *testing.T, what string, got []number, want ...float64) {
	t.Helper()
	for n, w := range want {
		g := float64(got[n])
		if w < 0 && got[n].is() || w >= 0 && (!got[n].is() || g < w || g > w*1.26) {
			t.Errorf("%s is %v, want %v", what, got, want)
			return
		}
	}
}

func TestAKnownHistoryIsDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder()
		trace := r.Trace()
		acquire := func(n int, waited time.Duration, err error) {
			for range n {
				trace.Acquired(t.Context(), engine.AcquiredInfo{Resource: "r", Waited: waited, Rounds: 1, Err: err})
			}
		}
		// A step of 5 seconds: 100 acquires, of which two wait for long, and one fails.
		acquire(98, time.Millisecond, nil)
		acquire(2, 3*time.Second, nil)
		time.Sleep(time.Second)
		acquire(1, time.Second, &engine.QuorumError{})
		trace.Renewed(engine.RenewedInfo{Margin: 4 * time.Second, Confirmed: true})
		trace.Renewed(engine.RenewedInfo{Margin: 3 * time.Second, Confirmed: true})
		trace.Renewed(engine.RenewedInfo{Margin: time.Second})
		trace.Pipeline(engine.PipelineInfo{Instance: "a", Messages: 1, Took: 2 * time.Millisecond})
		trace.Pipeline(engine.PipelineInfo{Instance: "a", Messages: 1, Took: 4 * time.Millisecond})
		trace.Pipeline(engine.PipelineInfo{Instance: "b", Messages: 1, Took: time.Millisecond})
		time.Sleep(4 * time.Second)
		// A step in which there is nothing but a loss.
		trace.Ended(engine.EndedInfo{Cause: lease.ErrStolen, Held: time.Second})
		trace.Ended(engine.EndedInfo{Cause: lease.ErrReleased, Held: time.Second})
		time.Sleep(5 * time.Second)
		// One that is not over, nor is its third second.
		acquire(20, time.Millisecond, nil)
		time.Sleep(2 * time.Second)
		acquire(1000, time.Millisecond, nil)

		h := r.history(names("a", "b", "c"))
		if age := time.Since(h.Since); age != 297*time.Second {
			t.Errorf("it begins %v ago", age)
		}
		near(t, "granted", series(t, h, "acquires a second", "granted", 5), -1, -1, 20, 0, 10)
		near(t, "failed", series(t, h, "acquires a second", "failed", 3), .2, 0, 0)
		near(t, "p50", series(t, h, "wait until granted", "p50", 3), .001, -1, .001)
		near(t, "p99", series(t, h, "wait until granted", "p99", 3), 3, -1, .001)
		near(t, "margin", series(t, h, "renewal margin", "least", 3), 3, -1, -1)
		near(t, "a", series(t, h, "round trip, mean", "a", 3), .003, -1, -1)
		near(t, "b", series(t, h, "round trip, mean", "b", 3), .001, -1, -1)
		near(t, "lost", series(t, h, "leases lost", "lost", 4), -1, 0, 1, 0)
		if len(h.Plots[0].Series) != 2 || len(h.Plots[3].Series) != 2 {
			t.Errorf("lines of what never was: %+v", h.Plots)
		}

		// It is forgotten step by step.
		time.Sleep(285 * time.Second)
		h = r.history(names("a", "b"))
		near(t, "granted", series(t, h, "acquires a second", "granted", points), 20, 0)
		time.Sleep(5 * time.Second)
		h = r.history(nil)
		near(t, "granted", series(t, h, "acquires a second", "granted", points), 0, 204)
		time.Sleep(10 * time.Minute)
		h = r.history(nil)
		near(t, "granted", series(t, h, "acquires a second", "granted", points), 0)
		for _, p := range h.Plots {
			if slices.ContainsFunc(p.Series, seriesView.any) {
				t.Errorf("%s is not forgotten", p.Title)
			}
		}
		trace.Acquired(t.Context(), engine.AcquiredInfo{Resource: "r", Rounds: 1}) // in the bucket of long ago
		time.Sleep(time.Second)
		near(t, "granted", series(t, r.history(nil), "acquires a second", "granted", 1), .33) // of its three seconds that are over
	})
}

// An engine's Trace tells all of it.
func TestTheRecorderHearsAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder()
		fleet := sim.New(t, 3)
		e, err := engine.New(fleet.Instances(instance.Config{}), engine.Config{Trace: r.Trace(), Owner: "me"})
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		defer e.Close(context.WithoutCancel(t.Context()))
		time.Sleep(time.Second)
		acquire(t, e, "kept")
		lose := acquire(t, e, "lost")
		if _, err := e.TryAcquire(t.Context(), "kept"); !errors.Is(err, engine.ErrHeld) {
			t.Fatalf("e.TryAcquire: got %v, want %v", err, engine.ErrHeld)
		}
		fleet.Each(func(s *sim.Server) { s.Set("lost", "somebody else", time.Hour) })
		<-lose.Done()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		v := newHandler(e, r).look(10)
		if v.Process.Owner != "me" || v.Process.PID == 0 || v.Process.Go == "" || v.Process.Started.IsZero() {
			t.Errorf("the process: got %+v, want the owner me, a pid, Go's version and when it started", v.Process)
		}
		for title, name := range map[string]string{"acquires a second": "held", "wait until granted": "p99", "renewal margin": "least", "round trip, mean": "sim-2", "leases lost": "lost"} {
			if s := (seriesView{Points: series(t, v.History, title, name, points)}); !s.any() && name != "sim-2" && name != "p99" || !s.last().is() {
				t.Errorf("%s of %s: %v", name, title, s.Points)
			}
		}
	})
}

// The plots are XML, whatever an instance is called, and what is drawn is what JSON has.
func TestThePlotsAreWellFormed(t *testing.T) {
	e, _ := open(t, engine.Config{Owner: hostile})
	r := NewRecorder()
	r.start = r.start.Add(-20 * time.Second)
	trace := r.Trace()
	for n := range 12 {
		trace.Pipeline(engine.PipelineInfo{Instance: fmt.Sprintf("redis-%d", n), Messages: 1, Took: time.Millisecond << n})
		trace.Acquired(t.Context(), engine.AcquiredInfo{Resource: hostile, Waited: time.Duration(n) * time.Millisecond, Rounds: 1})
	}
	trace.Ended(engine.EndedInfo{Cause: lease.ErrStolen})
	r.start = r.start.Add(-2 * time.Second)
	page := get(r.Handler(e), browser, "").Body.String()
	drawn := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(drawn) != 5+1+2+1+3+1 { // and the legends': granted; p50, p99; least; three instances; lost
		t.Fatalf("%d drawings:\n%s", len(drawn), page)
	}
	for _, svg := range drawn {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		hasNone(t, svg, "NaN", "Inf", "style=", "<script")
	}
	has(t, page, `<path class="line s0" d="M`, `h0"/>`, `<rect class="bar"`, "&lt;script&gt;")
	hasNone(t, page, "<script>alert", "nothing yet</text>\n</svg>\n<ul><li>granted")
	hasNone(t, get(Handler(e), browser, "").Body.String(), "<svg", "five minutes")

	var got view
	text := get(r.Handler(e), "application/json", "").Body.Bytes()
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("json.Unmarshal: %v", err)
	}
	if got.History == nil || len(got.History.Plots) != 5 || got.History.Step != step*1000 || !strings.Contains(string(text), "null") {
		t.Fatalf("want a history of 5 plots with step_ms %v and gaps, got %s", step*1000, text)
	}
	if lost := series(t, got.History, "leases lost", "lost", points); (seriesView{Points: lost}).total() != 1 {
		t.Errorf("lost: %v", lost)
	}
	if strings.Contains(get(Handler(e), "application/json", "").Body.String(), `"history"`) {
		t.Error("there is a history without a Recorder")
	}
}

// Instance names come from the user's Config.
func TestAnInstancesNameIsEscaped(t *testing.T) {
	r := NewRecorder()
	r.Trace().Pipeline(engine.PipelineInfo{Instance: hostile, Messages: 1, Took: time.Millisecond})
	r.start = r.start.Add(-time.Second)
	var page strings.Builder
	v := view{History: r.history(names(hostile))}
	if err := pages.ExecuteTemplate(&page, "live.html", v); err != nil {
		t.Fatalf("pages.ExecuteTemplate: %v", err)
	}
	has(t, page.String(), "&lt;script&gt;alert")
	hasNone(t, page.String(), "<script")
}

// Every outcome that an engine has a word for is told from the others.
func TestEveryOutcomeHasItsPlace(t *testing.T) {
	for at, err := range []error{
		nil, engine.ErrHeld, context.DeadlineExceeded, context.Canceled, engine.ErrNoQuorum, engine.ErrRefused, engine.ErrClosed, errors.New("any other"),
	} {
		if got := outcomeOf(err); got != at || engine.Outcome(err) != outcomes[at] {
			t.Errorf("%v has place %d, want %d, of %s", err, got, at, engine.Outcome(err))
		}
	}
}

func TestTheRecorderIsBounded(t *testing.T) {
	r := NewRecorder()
	trace := r.Trace()
	for n := range 10 * maxTrips {
		trace.Pipeline(engine.PipelineInfo{Instance: fmt.Sprint(n), Messages: 1, Took: time.Millisecond})
	}
	if len(r.named) != maxTrips {
		t.Errorf("%d instances are remembered", len(r.named))
	}
	if n := testing.AllocsPerRun(100, func() {
		trace.Acquired(t.Context(), engine.AcquiredInfo{Resource: "r", Waited: time.Second, Rounds: 1})
		trace.Renewed(engine.RenewedInfo{Margin: time.Second, Confirmed: true})
		trace.Ended(engine.EndedInfo{Cause: lease.ErrStolen})
		trace.Pipeline(engine.PipelineInfo{Instance: "1", Messages: 1, Took: time.Second})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if h.quantile(.5).is() {
		t.Error("of nothing")
	}
	for n := range 1000 {
		h.add(time.Duration(n+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.001: .001, .5: .5, .99: .99, 1: 1} {
		if got := float64(h.quantile(q)); got < want || got > want*1.26 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	for _, d := range []time.Duration{-1, 0, 15 * time.Microsecond, 1 << 62} {
		var h histogram
		h.add(d)
		if got := h.quantile(1); !got.is() || float64(got) < min(d, time.Minute).Seconds() {
			t.Errorf("%v is %v", d, got)
		}
	}
}

func TestAxes(t *testing.T) {
	for value, want := range map[float64]float64{0: 1, .3: .5, 1: 1, 1.2: 2, 3: 5, 7: 10, 10: 10, 11: 20, 99000: 100000} {
		if got := nice(value, false); got < want*(1-1e-9) || got > want*(1+1e-9) {
			t.Errorf("%v is under %v, want %v", value, got, want)
		}
	}
	if a := logarithmic(.001, .001); a.from != -3 || a.to != -2 {
		t.Errorf("an axis for 0.001: got %+v, want it from -3 to -2", a)
	}
	if a := logarithmic(0, 60); a.from != -6 || a.to != 2 || len(a.ticks) > 5 {
		t.Errorf("an axis from 0 to 60: got %+v, want it from -6 to 2, with 5 ticks at most", a)
	}
	for d, want := range map[time.Duration]string{0: "0 µs", 850 * time.Microsecond: "850 µs", 1200 * time.Microsecond: "1.2 ms", 30 * time.Second: "30 s", 1500 * time.Nanosecond: "1.5 µs"} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", .2: "0.2", 12.4: "12", 3400: "3.4k", 120000: "120k", 1.2e6: "1.2M"} {
		if got := count(n); got != want {
			t.Errorf("%v is %s, want %s", n, got, want)
		}
	}
}

func BenchmarkRecorder(b *testing.B) {
	trace := NewRecorder().Trace()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			trace.Acquired(b.Context(), engine.AcquiredInfo{Resource: "r", Waited: time.Millisecond, Rounds: 1})
		}
	})
}
