package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// LogTrace returns a Trace that logs every step of every lock at the level Debug,
// for whoever wants to see one engine at work. What somebody must know of, lost
// leases and instances that go down, is logged by Config.Logger in any case, at
// the levels Warn and Info. No whole token is logged.
func LogTrace(log *slog.Logger) *Trace {
	debug := func(ctx context.Context, text string, attrs ...slog.Attr) {
		log.LogAttrs(ctx, slog.LevelDebug, text, attrs...)
	}
	of := func(resource string) slog.Attr { return slog.String("resource", resource) }
	span := func(key string, d time.Duration) slog.Attr { return slog.String(key, d.String()) } // JSON would have nanoseconds
	background := context.Background()
	return &Trace{
		Round: func(resource string, _ []instance.Vote, took time.Duration, err error) {
			debug(background, "round of votes", of(resource), span("took", took), slog.Any("error", err))
		},
		Acquired: func(ctx context.Context, resource string, waited time.Duration, rounds int, err error) {
			debug(ctx, "acquire is over", of(resource), slog.String("outcome", Outcome(err)),
				span("waited", waited), slog.Int("rounds", rounds), slog.Any("error", err))
		},
		Woken: func(resource string, by Waker, took time.Duration, granted bool) {
			debug(background, "waiter was woken", of(resource), slog.String("by", by.String()),
				span("took", took), slog.Bool("granted", granted))
		},
		Renewed: func(l *lease.Lease, margin time.Duration, confirmed bool) {
			debug(background, "renewal", of(l.Resource()), span("margin", margin), slog.Bool("confirmed", confirmed))
		},
		Ended: func(l *lease.Lease, cause error, held time.Duration) {
			debug(background, "lease ended", of(l.Resource()), slog.String("cause", Cause(cause)), span("held", held))
		},
		Instance: func(h instance.Health) {
			debug(background, "instance changed", slog.String("instance", h.Name), slog.String("state", h.State.String()),
				span("quarantine", h.Quarantine), slog.Any("error", h.Err))
		},
	}
}
