package doctor

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// reading is one look at a server's clock: it showed server at some moment
// between sent and got.
type reading struct {
	server    time.Time
	sent, got time.Time
}

func (r reading) took() time.Duration { return r.got.Sub(r.sent) }

// ahead is by how much the server's clock is ahead of ours, and how wrong that
// may be.
func (r reading) ahead() (by, error time.Duration) {
	middle := r.sent.Add(r.took() / 2)
	return r.server.Sub(middle), r.took() / 2
}

// clock is what is known of a server's clock.
type clock struct {
	trips       []time.Duration
	first, last reading // zero: it did not tell
}

// latency is the median of the round trips.
func (c clock) latency() time.Duration {
	if len(c.trips) == 0 {
		return 0
	}
	trips := slices.Sorted(slices.Values(c.trips))
	return trips[len(trips)/2]
}

// rate bounds how fast the server's clock runs, by ours: 1 is the same.
//
//	its time between the readings / the longest and the shortest it can have been by ours
func (c clock) rate() (least, most float64, known bool) {
	shortest := c.last.sent.Sub(c.first.got)
	longest := c.last.got.Sub(c.first.sent)
	if c.first.sent.IsZero() || c.last.sent.IsZero() || shortest <= 0 {
		return 0, 0, false
	}
	its := float64(c.last.server.Sub(c.first.server))
	return its / float64(longest), its / float64(shortest), true
}

// readings are how often the clock is read for one look: the quickest counts.
const readings = 5

func (e *examination) askClock(ctx context.Context, _ Config) (err error) {
	e.clock.first, err = e.read(ctx)
	return err
}

// askClockAgain looks a second time, when the sample's time is over.
func (e *examination) askClockAgain(ctx context.Context, cfg Config) (err error) {
	if e.clock.first.sent.IsZero() {
		return nil
	}
	select {
	case <-time.After(time.Until(e.clock.first.got.Add(cfg.Sample))):
	case <-ctx.Done():
		return ctx.Err()
	}
	e.clock.last, err = e.read(ctx)
	return err
}

// read is the quickest of some readings, zero if TIME is not permitted.
func (e *examination) read(ctx context.Context) (quickest reading, err error) {
	for range readings {
		r := reading{sent: time.Now()}
		reply, _, err := e.do(ctx, "time") // refused: tryCommands says so
		r.got = time.Now()
		if err != nil {
			return reading{}, err
		}
		pair, ok := reply.([]any)
		if !ok || len(pair) != 2 {
			return reading{}, nil
		}
		r.server = time.Unix(whole(pair[0]), whole(pair[1])*1000)
		e.clock.trips = append(e.clock.trips, r.took())
		if quickest.sent.IsZero() || r.took() < quickest.took() {
			quickest = r
		}
	}
	return quickest, nil
}

func whole(v any) int64 {
	text, _ := v.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
