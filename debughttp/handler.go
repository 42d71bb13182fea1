package debughttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/engine"
)

const (
	defaultLimit = 100

	// MaxLimit is how many of each kind are listed at most.
	MaxLimit = 10_000

	// MaxStreams is how many pages are kept up to date at once by one handler.
	// Those beyond it are told to try again later.
	MaxStreams = 32
)

// Handler returns the handler of an engine. It does not hold the engine up and
// may be used after its Close. Safe for concurrent use.
func Handler(e *engine.Engine) http.Handler { return newHandler(e, nil) }

type handler struct {
	engine   *engine.Engine
	recorder *Recorder     // nil: there are no plots
	streams  chan struct{} // one slot a stream under way
}

func newHandler(e *engine.Engine, r *Recorder) *handler {
	return &handler{engine: e, recorder: r, streams: make(chan struct{}, MaxStreams)}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be looked at: use GET", http.StatusMethodNotAllowed)
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch wanted(r) {
	case "text/event-stream":
		h.stream(w, r, limit)
	case "application/json":
		h.json(w, limit)
	default:
		h.page(w, limit)
	}
}

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxLimit {
		return 0, fmt.Errorf("limit is %q: it must be a number from 0 to %d", text, MaxLimit)
	}
	return n, nil
}

// wanted is the first of the types that the client accepts and we have. Browsers,
// and clients that accept anything, get the page.
func wanted(r *http.Request) string {
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, _, _ := strings.Cut(accepted, ";")
		switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
		case "text/html", "text/event-stream", "application/json":
			return kind
		}
	}
	return "text/html"
}

func (h *handler) page(w http.ResponseWriter, limit int) {
	var page bytes.Buffer
	err := pages.ExecuteTemplate(&page, "page.html", struct {
		view
		assets
	}{h.look(limit), static})
	if err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", static.policy)
	_, _ = w.Write(page.Bytes()) // a client that has gone does not want it
}

func (h *handler) json(w http.ResponseWriter, limit int) {
	text, err := json.MarshalIndent(h.look(limit), "", "  ")
	if err != nil {
		http.Error(w, "the answer cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}
