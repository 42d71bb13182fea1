package debughttp

import (
	"math"
	"strconv"
	"time"
)

const (
	// step is how many seconds are one point of a plot.
	step = 5
	// points is how many a plot has.
	points = remembered / step
)

// number is a value of a plot; none where there is nothing to show, which is null
// in JSON.
type number float64

var none = number(math.NaN())

func (n number) is() bool { return !math.IsNaN(float64(n)) }

func (n number) MarshalJSON() ([]byte, error) {
	if !n.is() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

// history is what the plots show: five minutes, in steps. The last step may not be
// over; its rates are those of the seconds that are.
type history struct {
	Step  int        `json:"step_ms"`
	Since time.Time  `json:"since"` // when the first step began
	Plots []plotView `json:"plots"`
}

// plotView is one plot.
type plotView struct {
	Title  string       `json:"title"`
	Unit   string       `json:"unit"` // of the points: 1/s, s, or 1: a number of things
	Series []seriesView `json:"series"`

	log bool // decades are as far apart as each other
}

// seriesView is one of its lines.
type seriesView struct {
	Name   string   `json:"name"`
	Points []number `json:"points"` // one a step, the oldest first

	style int // the place of its colour
}

// sum is what has happened in a step.
type sum struct {
	bucket
	seconds int // of the step, that are over; 0: nothing was heard then
}

// steps adds up the buckets.
func (r *Recorder) steps() (sums [points]sum, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.second()
	first := ((now-1)/step - points + 1) * step
	for n := range sums {
		s := &sums[n]
		for second := first + n*step; second < min(now, first+(n+1)*step); second++ {
			if second < 0 {
				continue
			}
			s.seconds++
			if b := &r.ring[second%len(r.ring)]; b.second == second {
				s.add(b)
			}
		}
	}
	return sums, r.start.Add(time.Duration(first) * time.Second)
}

func (s *sum) add(b *bucket) {
	for n, count := range b.outcomes {
		s.outcomes[n] += count
	}
	s.waits.join(&b.waits)
	if b.margin > 0 && (s.margin == 0 || b.margin < s.margin) {
		s.margin = b.margin
	}
	s.losses += b.losses
	for n, t := range b.trips {
		s.trips[n].sum += t.sum
		s.trips[n].count += t.count
	}
}

// history draws up what has been heard.
func (r *Recorder) history(instances []instanceView) *history {
	sums, since := r.steps()
	line := func(name string, style int, value func(*sum) number) seriesView {
		s := seriesView{Name: name, Points: make([]number, points), style: style}
		for n := range sums {
			if s.Points[n] = none; sums[n].seconds > 0 {
				s.Points[n] = value(&sums[n])
			}
		}
		return s
	}
	acquires := plotView{Title: "acquires a second", Unit: "1/s"}
	for n, word := range outcomes {
		s := line(word, n, func(s *sum) number { return number(s.outcomes[n]) / number(s.seconds) })
		if n == 0 || s.any() {
			acquires.Series = append(acquires.Series, s)
		}
	}
	trips := plotView{Title: "round trip, mean", Unit: "s", log: true, Series: []seriesView{}}
	for n, i := range instances {
		if at := r.find(i.Name); at < maxTrips {
			trips.Series = append(trips.Series, line(i.Name, n, func(s *sum) number { return s.trips[at].mean() }))
		}
	}
	return &history{step * 1000, since, []plotView{
		acquires,
		{Title: "wait until granted", Unit: "s", log: true, Series: []seriesView{
			line("p50", 0, func(s *sum) number { return s.waits.quantile(.50) }),
			line("p99", 1, func(s *sum) number { return s.waits.quantile(.99) }),
		}},
		{Title: "renewal margin", Unit: "s", Series: []seriesView{line("least", 0, func(s *sum) number {
			if s.margin == 0 {
				return none
			}
			return number(s.margin.Seconds())
		})}},
		trips,
		{Title: "leases lost", Unit: "1", Series: []seriesView{line("lost", len(outcomes), func(s *sum) number { return number(s.losses) })}},
	}}
}

// find is indexOf for those that have been heard of.
func (r *Recorder) find(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, known := range r.named {
		if known == name {
			return at
		}
	}
	return maxTrips
}

func (t trips) mean() number {
	if t.count == 0 {
		return none
	}
	return number(t.sum.Seconds() / float64(t.count))
}

// any reports whether any point is more than nothing.
func (s seriesView) any() bool {
	for _, p := range s.Points {
		if p > 0 {
			return true
		}
	}
	return false
}

// last is the newest value that there is.
func (s seriesView) last() number {
	for n := len(s.Points) - 1; n >= 0; n-- {
		if s.Points[n].is() {
			return s.Points[n]
		}
	}
	return none
}
