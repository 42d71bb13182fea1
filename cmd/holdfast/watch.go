package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// watcher shows looks again and again: in place on a terminal, else what has
// changed.
type watcher struct {
	status *statusAction
	screen *screen // nil: not a terminal
	before []facts // of the last look at each resource
}

// facts are what makes a difference: all but the time that goes by.
type facts struct {
	token   string
	waiting int
	kinds   []instance.Kind
	holds   []string
}

func (s *statusAction) watcher() *watcher {
	w := &watcher{status: s}
	if !s.json {
		w.screen = newScreen(os.Stdout)
	}
	return w
}

func (w *watcher) show(looks []seen) error {
	if w.screen != nil {
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s  every %v, ^C ends\n", time.Now().Format(time.TimeOnly), &w.status.every)
		for _, look := range looks {
			b.WriteByte('\n')
			look.write(&b)
		}
		return w.screen.draw(b.String())
	}
	changed := w.changed(looks)
	if w.status.json {
		return w.status.print(changed)
	}
	for _, look := range changed {
		if _, err := fmt.Printf("%s  %v\n", time.Now().Format(time.RFC3339), look); err != nil {
			return err
		}
	}
	return nil
}

// changed are the looks that differ from those before.
func (w *watcher) changed(looks []seen) (changed []seen) {
	if w.before == nil {
		w.before = make([]facts, len(looks))
	}
	for n, look := range looks {
		now := factsOf(look)
		if !now.equal(w.before[n]) {
			changed = append(changed, look)
		}
		w.before[n] = now
	}
	return changed
}

func factsOf(s seen) facts {
	f := facts{token: s.Token, waiting: s.Waiting}
	for _, v := range s.Votes {
		f.kinds = append(f.kinds, v.Kind)
		f.holds = append(f.holds, v.Holder)
	}
	return f
}

func (f facts) equal(g facts) bool {
	return f.token == g.token && f.waiting == g.waiting && slices.Equal(f.kinds, g.kinds) && slices.Equal(f.holds, g.holds)
}
