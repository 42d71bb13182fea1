package tell

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxLines is how many lines of a log may wait, and maxSums how many sums besides.
	maxLines = 1024
	maxSums  = 64

	// mostAlike is how many lines with the same text are logged in one second. What
	// exceeds it is logged as one sum: when a thousand leases are lost at once, a
	// thousand lines tell nobody more than that.
	mostAlike = 20
	second    = time.Second
)

// Log hands what is logged to the user's handlers, on a goroutine of its own.
type Log struct {
	queue *Queue[line]

	mu    sync.Mutex
	since time.Time     // when the second began that is being counted
	alike map[kind]*sum // in that second
	timer *time.Timer   // has the sums logged when the second is over; nil: there are none
	said  uint64        // lines that were dropped, as far as that has been logged; the goroutine's own
	at    time.Time     // when it was; the goroutine's own
}

// line is what is to be logged, where.
type line struct {
	handler *handler
	record  slog.Record
}

// kind is lines that are alike.
type kind struct {
	handler *handler
	text    string
}

// sum is lines that were not logged one by one.
type sum struct {
	lines  int
	more   int // of the lines
	level  slog.Level
	causes map[string]int // of the more
}

// NewLog makes a Log. Its goroutine is started by the first line, and ended and
// waited for by Close.
func NewLog() *Log {
	g := &Log{alike: make(map[kind]*sum)}
	g.queue = New(Config[line]{Tell: g.tell, Limit: maxLines, Reserve: maxSums})
	return g
}

// Logger returns a logger that never blocks, and calls nothing of the user's: what
// is logged by it, with its attributes and groups, goes to user in the end.
func (g *Log) Logger(user *slog.Logger) *slog.Logger {
	if user.Handler() == slog.DiscardHandler {
		return user
	}
	return slog.New(&handler{g, user.Handler})
}

// Dropped returns how many lines were not logged, nor are in a sum.
func (g *Log) Dropped() uint64 { return g.queue.Dropped() }

// Close is Queue.Close.
func (g *Log) Close(ctx context.Context) {
	g.flush()
	g.queue.Close(ctx)
}

// handler takes records for a handler of the user's.
type handler struct {
	log  *Log
	user func() slog.Handler // called on the log's goroutine only
}

// Enabled is always true: the user's own Enabled is asked on the log's goroutine.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	h.log.put(line{h, r.Clone()})
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.log, sync.OnceValue(func() slog.Handler { return h.user().WithAttrs(attrs) })}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.log, sync.OnceValue(func() slog.Handler { return h.user().WithGroup(name) })}
}

// tell hands a line to the user's handler.
func (g *Log) tell(l line) {
	l.log()
	if dropped := g.queue.Dropped(); dropped > g.said && time.Since(g.at) >= sayEvery {
		l.record = slog.NewRecord(time.Now(), slog.LevelWarn, "the Logger is too slow: lines were dropped", 0)
		l.record.AddAttrs(slog.Uint64("dropped", dropped))
		l.log()
		g.said, g.at = dropped, time.Now()
	}
}

func (l line) log() {
	ctx := context.Background()
	if user := l.handler.user(); user.Enabled(ctx, l.record.Level) {
		_ = user.Handle(ctx, l.record) // there is nobody to tell
	}
}

// put has a line logged, or counts it.
func (g *Log) put(l line) {
	g.mu.Lock()
	var sums []line
	if l.record.Time.Sub(g.since) >= second {
		sums = g.sums()
		g.since = l.record.Time
	}
	k := kind{l.handler, l.record.Message}
	s := g.alike[k]
	if s == nil {
		s = new(sum)
		g.alike[k] = s
	}
	s.lines++
	counted := s.lines > mostAlike
	if counted {
		s.add(l.record)
		if g.timer == nil {
			g.timer = time.AfterFunc(second-l.record.Time.Sub(g.since), g.flush)
		}
	}
	g.mu.Unlock()
	for _, sum := range sums {
		g.queue.PutReserved(sum)
	}
	if !counted {
		g.queue.Put(l)
	}
}

// flush has the sums logged.
func (g *Log) flush() {
	g.mu.Lock()
	sums := g.sums()
	g.mu.Unlock()
	for _, sum := range sums {
		g.queue.PutReserved(sum)
	}
}

// add counts a line that is not logged.
func (s *sum) add(r slog.Record) {
	s.more++
	s.level = r.Level
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "cause" {
			return true
		}
		if s.causes == nil {
			s.causes = make(map[string]int)
		}
		s.causes[a.Value.String()]++
		return false
	})
}

// sums returns what is to be logged of the second that is over, and begins to
// count anew. Called with mu held.
func (g *Log) sums() (lines []line) {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	for k, s := range g.alike {
		if s.more > 0 {
			lines = append(lines, s.line(k))
		}
	}
	clear(g.alike)
	return lines
}

func (s *sum) line(k kind) line {
	r := slog.NewRecord(time.Now(), s.level, k.text+": and more of them", 0)
	r.AddAttrs(slog.Int("more", s.more))
	var causes []any
	for cause, n := range s.causes {
		causes = append(causes, slog.Int(cause, n))
	}
	if causes != nil {
		r.AddAttrs(slog.Group("causes", causes...))
	}
	return line{k.handler, r}
}
