package debughttp

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

const (
	// every is how often a page is brought up to date.
	every = time.Second
	// longest is how long a stream lasts: then the browser opens the next one, so
	// that a server that is shut down need not wait for the page to be closed.
	longest = 30 * time.Second
	// writeTimeout is how long a client may take to read what it is sent.
	writeTimeout = 5 * time.Second
)

// stream sends what is live on the page, now and every second: until the client
// has gone, the engine is closed, or the stream has lasted long enough.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, limit int) {
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	v := h.look(limit)
	if v.closed() {
		w.WriteHeader(http.StatusNoContent) // there will be no more: do not ask again
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), longest)
	defer cancel()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for send(w, v) == nil && !v.closed() {
		select {
		case <-ticker.C:
			v = h.look(limit)
		case <-ctx.Done():
			return
		}
	}
}

// send sends one event: the part of the page that is live.
func send(w http.ResponseWriter, v view) error {
	var live, event bytes.Buffer
	if err := pages.ExecuteTemplate(&live, "live.html", v); err != nil {
		return err
	}
	event.WriteString("retry: 1000\n")
	for line := range bytes.Lines(live.Bytes()) {
		event.WriteString("data: ")
		event.Write(bytes.TrimRight(line, "\r\n"))
		event.WriteByte('\n')
	}
	event.WriteByte('\n')

	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // where that is not supported, the server's own holds
	if _, err := w.Write(event.Bytes()); err != nil {
		return err
	}
	return out.Flush()
}

// closed reports whether the engine is closed: nothing will change any more.
func (v view) closed() bool {
	for _, i := range v.Instances {
		if i.State != instance.Closed.String() {
			return false
		}
	}
	return true
}
