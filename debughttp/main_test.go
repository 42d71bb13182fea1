package debughttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// What the tests do in every other line has a short name here.
var (
	acquire = enginetest.Acquire
	within  = testkit.Within
)

// open returns an engine on three servers, which is closed with the test.
func open(t *testing.T, cfg engine.Config) (*engine.Engine, []*redistest.Server) {
	t.Helper()
	var servers []*redistest.Server
	for range 3 {
		servers = append(servers, redistest.StartTCP(t)) // their addresses are shown
	}
	var instances []*instance.Instance
	for n, url := range redistest.URLs(servers) {
		i, err := instance.Dial(url, instance.Config{Name: fmt.Sprintf("redis-%d", n+1)})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		instances = append(instances, i)
	}
	e, err := engine.New(instances, cfg)
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	for _, i := range instances {
		<-i.Ready()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		_ = e.Close(ctx) // servers may have been stopped
	})
	return e, servers
}

// lose makes an engine lose a lease to somebody else.
func lose(t *testing.T, servers []*redistest.Server, l *lease.Lease) {
	t.Helper()
	for _, s := range servers {
		s.Set(l.Resource(), "somebody else", time.Minute)
	}
	if err := l.Extend(within(t), 0); err == nil {
		t.Fatalf("%v is not lost", l)
	}
}

// wait makes an acquire wait until the test is over.
func wait(t *testing.T, e *engine.Engine, resource string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	before := e.Snapshot(0).Waiting
	go func() {
		defer close(over)
		if _, err := e.Acquire(ctx, resource); err == nil {
			t.Errorf("%q was free", resource)
		}
	}()
	t.Cleanup(func() { cancel(); <-over })
	testkit.Eventually(t, "one more waits for "+resource, func() bool { return e.Snapshot(0).Waiting > before })
}

// get asks a handler.
func get(h http.Handler, accept, query string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/debug/locks"+query, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// has fails the test unless the text has all of these.
func has(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s:\n%s", want, text)
		}
	}
}

// hasNone fails the test if the text has any of these.
func hasNone(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if strings.Contains(text, want) {
			t.Errorf("it has %s:\n%s", want, text)
		}
	}
}
