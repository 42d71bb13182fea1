package tell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// page takes what several goroutines write.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *page) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Reset()
}

// lines are what a text handler wrote, without times.
func lines(text *page) []string {
	all := strings.Split(strings.TrimSpace(text.String()), "\n")
	for n, line := range all {
		_, all[n], _ = strings.Cut(line, " ")
	}
	return all
}

func TestALoggerWritesAsTheUsersDoes(t *testing.T) {
	var direct, distant page
	use := func(log *slog.Logger) {
		log.Info("plain", "n", 1)
		log.Debug("not enabled")
		log.With("a", 1).WithGroup("g").With("b", 2).Warn("nested", "c", errors.New("three"))
		log.Log(context.Background(), slog.LevelWarn+1, "level")
	}
	use(slog.New(slog.NewTextHandler(&direct, nil)))
	g := NewLog()
	use(g.Logger(slog.New(slog.NewTextHandler(&distant, nil))))
	g.Close(t.Context())
	if got, want := lines(&distant), lines(&direct); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if silent := slog.New(slog.DiscardHandler); g.Logger(silent) != silent {
		t.Error("a logger that is silent is not left as it is")
	}
}

// hanging is a handler whose methods hang, all of them.
type hanging struct {
	slog.Handler
	gate <-chan struct{}
}

func (h hanging) Enabled(ctx context.Context, l slog.Level) bool {
	<-h.gate
	return h.Handler.Enabled(ctx, l)
}

func (h hanging) Handle(ctx context.Context, r slog.Record) error {
	<-h.gate
	return h.Handler.Handle(ctx, r)
}

func (h hanging) WithAttrs(attrs []slog.Attr) slog.Handler {
	<-h.gate
	return hanging{h.Handler.WithAttrs(attrs), h.gate}
}

func (h hanging) WithGroup(name string) slog.Handler {
	<-h.gate
	return hanging{h.Handler.WithGroup(name), h.gate}
}

func TestNobodyWhoLogsWaitsForTheUsersHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text page
		gate := make(chan struct{})
		g := NewLog()
		log := g.Logger(slog.New(hanging{slog.NewTextHandler(&text, nil), gate}))
		for n := range 2 * maxLines {
			log.With("a", 1).WithGroup("g").Warn(fmt.Sprint("line ", n)) // and it comes back
		}
		synctest.Wait()
		close(gate)
		g.Close(t.Context())
		all := lines(&text)
		dropped := g.Dropped()
		if dropped == 0 || len(all) != 2*maxLines-int(dropped)+1 {
			t.Errorf("%d lines, %d dropped", len(all), dropped)
		}
		if !strings.Contains(text.String(), fmt.Sprintf(`level=WARN msg="the Logger is too slow: lines were dropped" a=1 g.dropped=%d`, dropped)) {
			t.Errorf("nobody is told: %s", all[1])
		}
	})
}

func TestManyLinesThatAreAlikeBecomeASum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text page
		g := NewLog()
		log := g.Logger(slog.New(slog.NewTextHandler(&text, nil)))
		storm := func(n int) {
			for k := range n {
				log.Warn("lost", "n", k, "cause", []string{"expired", "stolen"}[k%2])
			}
			log.Info("another")
		}
		count := func(of string) int { return strings.Count(text.String(), of) }

		storm(20_000)
		synctest.Wait()
		if count("msg=lost") != mostAlike || count("msg=another") != 1 || count("more") != 0 {
			t.Errorf("at once: %s", &text)
		}
		time.Sleep(second)
		synctest.Wait()
		sum := fmt.Sprintf(`level=WARN msg="lost: and more of them" more=%d`, 20_000-mostAlike)
		half := (20_000 - mostAlike) / 2
		if count(sum) != 1 || count(fmt.Sprint("causes.expired=", half)) != 1 || count(fmt.Sprint("causes.stolen=", half)) != 1 {
			t.Errorf("a second later: %s", &text)
		}

		text.Reset()
		storm(mostAlike)
		time.Sleep(10 * second)
		synctest.Wait()
		if count("msg=lost") != mostAlike || count("more") != 0 {
			t.Errorf("in another second: %s", &text)
		}

		text.Reset()
		storm(mostAlike + 1)
		g.Close(t.Context())
		if count("msg=lost ") != mostAlike || count(" more=1 ") != 1 || g.Dropped() != 0 {
			t.Errorf("at the end: %s", &text)
		}
	})
}

func TestLinesOfDifferentLoggersAreNotAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text page
		g := NewLog()
		log := g.Logger(slog.New(slog.NewTextHandler(&text, nil)))
		for n := range 2 * mostAlike {
			log.With("instance", n).Warn("down")
		}
		g.Close(t.Context())
		if n := strings.Count(text.String(), "msg=down instance="); n != 2*mostAlike {
			t.Errorf("%d lines: %s", n, &text)
		}
	})
}
