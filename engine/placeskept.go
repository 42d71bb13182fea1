package engine

import (
	mathrand "math/rand/v2"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// position is what is known of where a place stands.
type position uint8

const (
	somewhere position = iota
	behindOne
	inFront
)

// keepPlace keeps a place from now on, the first time after so long.
func (q *queues) keepPlace(p *place, first time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.due = keptIn(first)
	if _, kept := q.places[p]; !kept {
		q.places[p] = somewhere
		q.counts[somewhere]++
	}
	if !q.running {
		q.running = true
		q.loop.Go(q.keepPlaces)
	}
}

// keptIn is when a place is due that is to be kept after so long at the latest.
func keptIn(latest time.Duration) time.Time { return time.Now().Add(latest - mathrand.N(keepSlack)) }

// drop keeps a place no longer.
func (q *queues) drop(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, kept := q.places[p]; kept {
		q.counts[at]--
		delete(q.places, p)
	}
}

// located notes where a place that is kept stands.
func (q *queues) located(p *place, s instance.Standing) {
	now := somewhere
	switch {
	case s.Kind != instance.Held && s.Kind != instance.Free:
	case s.Before == "":
		now = inFront
	default:
		now = behindOne
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if before, kept := q.places[p]; kept {
		q.counts[before]--
		q.counts[now]++
		q.places[p] = now
	}
}

// count returns how many places are known to stand in queues, and how many of them are the first there.
func (q *queues) count() (all, firsts int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts[behindOne] + q.counts[inFront], q.counts[inFront]
}

// keepPlaces keeps all places, until there are none or the engine closes. Close waits for it.
func (q *queues) keepPlaces() {
	tick := time.NewTicker(keepSlack)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-q.engine.closing.Done():
			return
		}
		due, running := q.due(time.Now())
		if !running {
			return
		}
		for at, places := range due {
			for len(places) > 0 {
				n := min(len(places), instance.MaxPlaces)
				q.engine.instances[at].Post(&instance.KeepPlaces{Places: places[:n:n], Life: placeLife})
				places = places[n:]
			}
		}
	}
}

// due returns the places to be kept now, by instance, and whether there will be others.
func (q *queues) due(now time.Time) (due map[int][]instance.Place, running bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = len(q.places) > 0
	for p := range q.places {
		if p.due.Sub(now) > keepSlack {
			continue
		}
		if due == nil {
			due = make(map[int][]instance.Place)
		}
		due[p.at] = append(due[p.at], p.Place)
		p.due = keptIn(keepEvery)
	}
	return due, q.running
}
