package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// LogTrace returns a Trace that logs every step of every lock at the level Debug,
// to see one engine at work. What somebody must know of, lost
// leases and instances that go down, is logged by Config.Logger in any case, at
// the levels Warn and Info. No whole token is logged.
func LogTrace(log *slog.Logger) *Trace {
	debug := func(ctx context.Context, text string, attrs ...slog.Attr) {
		log.LogAttrs(ctx, slog.LevelDebug, text, attrs...)
	}
	of := func(resource string) slog.Attr { return slog.String("resource", resource) }
	what := func(l *lease.Lease) slog.Attr { return named(l.Resources()) }
	span := func(key string, d time.Duration) slog.Attr { return slog.String(key, d.String()) } // JSON would have nanoseconds
	background := context.Background()
	return &Trace{
		Round: func(r RoundInfo) {
			debug(background, "round of votes", of(r.Resource), span("took", r.Took), slog.Any("error", r.Err))
		},
		Acquired: func(ctx context.Context, a AcquiredInfo) {
			debug(ctx, "acquire is over", of(a.Resource), slog.String("outcome", Outcome(a.Err)),
				span("waited", a.Waited), slog.Int("rounds", a.Rounds), slog.Int("more", a.More), slog.Any("error", a.Err))
		},
		Each: func(ctx context.Context, a EachInfo) {
			debug(ctx, "acquire of each is over", slog.Int("resources", a.Resources), slog.Int("granted", a.Granted()),
				span("waited", a.Waited), slog.Any("error", a.Err))
		},
		Woken: func(w WokenInfo) {
			debug(background, "waiter was woken", of(w.Resource), slog.String("by", w.By.String()),
				span("took", w.Took), slog.Bool("granted", w.Granted))
		},
		Renewed: func(r RenewedInfo) {
			debug(background, "renewal", what(r.Lease), span("margin", r.Margin), slog.Bool("confirmed", r.Confirmed))
		},
		Checked: func(c CheckedInfo) {
			debug(background, "lease was checked, since a server told", what(c.Lease), span("took", c.Took), slog.Bool("lost", c.Lost))
		},
		Ended: func(e EndedInfo) {
			debug(background, "lease ended", what(e.Lease), slog.String("cause", Cause(e.Cause)), span("held", e.Held))
		},
		Instance: func(h instance.Health) {
			debug(background, "instance changed", slog.String("instance", h.Name), slog.String("state", h.State.String()),
				span("quarantine", h.Quarantine), slog.Any("error", h.Err))
		},
	}
}

// named says in a log what an acquire or a lease is of.
func named(resources []string) slog.Attr {
	if len(resources) == 1 {
		return slog.String("resource", resources[0])
	}
	return slog.Any("resources", resources)
}
