package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// view shows a world: live on a terminal, else each event as a line.
type view struct {
	world  *world
	screen *screen // nil: not a terminal
	over   chan struct{}
	drawer sync.WaitGroup
}

const (
	frameEvery  = 50 * time.Millisecond
	eventsShown = 12
)

// Colours of every terminal.
const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

func newView(w *world, out *os.File) *view {
	v := &view{world: w, screen: newScreen(out), over: make(chan struct{})}
	if v.screen == nil {
		w.said = func(e event) { fmt.Fprintln(out, e) }
	}
	return v
}

func (e event) String() string { return fmt.Sprintf("%7.2fs  %s", e.at.Seconds(), e.text) }

// start begins to draw; stop ends it, with a last look.
func (v *view) start() {
	if v.screen != nil {
		v.drawer.Go(v.draw)
	}
}

func (v *view) stop() {
	close(v.over)
	v.drawer.Wait()
}

// draw is run by start and ends with stop.
func (v *view) draw() {
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for going := true; going; {
		select {
		case <-tick.C:
		case <-v.over:
			going = false
		}
		if v.screen.draw(v.frame(v.screen.rows())) != nil {
			return // the terminal has gone; the story goes on
		}
	}
}

// frame is what there is to see now, in so many lines. The newest events are the
// last to be left out: the verdict is one.
func (v *view) frame(rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%sholdfast demo%s  %.1fs\n\nServers  ", bold, plain, time.Since(v.world.start).Seconds())
	for n, up := range v.servers() {
		state := green + "up" + plain
		if !up {
			state = red + "down" + plain
		}
		fmt.Fprintf(&b, "  %d %s", n+1, state)
	}
	b.WriteString("\n\nWorkers\n")
	for _, w := range v.world.workers {
		line := w.String()
		if w.lease() != nil {
			line = bold + line + plain
		}
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\nEvents\n")
	lines := strings.SplitAfter(b.String(), "\n")
	lines = lines[:len(lines)-1] // what is behind the last one is nothing
	for _, e := range v.events(max(1, min(eventsShown, rows-len(lines)))) {
		lines = append(lines, e.String()+"\n")
	}
	return strings.Join(lines[max(0, len(lines)-rows):], "")
}

func (v *view) servers() []bool {
	v.world.mu.Lock()
	defer v.world.mu.Unlock()
	return append([]bool(nil), v.world.up...)
}

// events are the last ones, so many at most.
func (v *view) events(most int) []event {
	v.world.mu.Lock()
	defer v.world.mu.Unlock()
	all := v.world.events
	return append([]event(nil), all[max(0, len(all)-most):]...)
}
