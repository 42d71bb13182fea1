package debughttp

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
)

// serve serves a handler for the time of the test.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server
}

// events opens a stream and returns a func that waits for the next event: "" when
// there are no more.
func events(t *testing.T, ctx context.Context, url string) (status int, next func() string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatalf("http.NewRequestWithContext: %v", err)
	}
	r.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("http.DefaultClient.Do: %v", err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	return answer.StatusCode, func() string {
		var event strings.Builder
		for lines.Scan() && lines.Text() != "" {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				event.WriteString(data + "\n")
			}
		}
		return event.String()
	}
}

func TestAStreamSendsWhatHasChanged(t *testing.T) {
	e, _ := open(t, engine.Config{})
	server := serve(t, Handler(e))
	status, next := events(t, within(t), server.URL)
	if status != http.StatusOK {
		t.Fatalf("the stream's status: got %d, want 200", status)
	}
	hasNone(t, next(), hostile, "&lt;script")

	l := acquire(t, e, hostile)
	for text := next(); ; text = next() {
		if text == "" {
			t.Fatal("the stream has ended")
		}
		if hasNone(t, text, l.Token(), "<script>alert"); strings.Contains(text, "&lt;script&gt;alert") {
			break
		}
	}

	if err := e.Close(within(t)); err != nil {
		t.Fatalf("e.Close: %v", err)
	}
	last := ""
	for text := next(); text != ""; text = next() {
		last = text
	}
	if got := strings.Count(last, "closed</span>"); got != 3 {
		t.Errorf("the last event has %d closed instances:\n%s", got, last)
	}
	if status, _ := events(t, within(t), server.URL); status != http.StatusNoContent {
		t.Errorf("then a stream is answered with %d: it would be asked for again", status)
	}
	has(t, get(Handler(e), browser, "").Body.String(), "closed</span>")
}

func TestStreamsAreBounded(t *testing.T) {
	e, _ := open(t, engine.Config{})
	h := Handler(e)
	server := serve(t, h)
	ctx, leave := context.WithCancel(within(t))
	for range MaxStreams {
		status, next := events(t, ctx, server.URL)
		if status != http.StatusOK || next() == "" {
			t.Fatalf("the stream's status: got %d, want 200 and an event", status)
		}
	}
	if status, _ := events(t, within(t), server.URL); status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", status)
	}
	if got := get(h, browser, "").Code; got != http.StatusOK {
		t.Errorf("the page itself: %d", got)
	}
	leave()
	for { // they make room when the server has noticed
		if status, _ := events(t, within(t), server.URL); status == http.StatusOK {
			return
		}
	}
}

func TestAStreamCanBeAskedForItsHeadAlone(t *testing.T) {
	e, _ := open(t, engine.Config{})
	r := httptest.NewRequest(http.MethodHead, "/", nil)
	r.Header.Set("Accept", "text/event-stream")
	w := httptest.NewRecorder()
	Handler(e).ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" || w.Body.Len() > 0 {
		t.Errorf("HEAD: got %d %v %s, want 200, text/event-stream, nothing more", w.Code, w.Header(), w.Body)
	}
}
