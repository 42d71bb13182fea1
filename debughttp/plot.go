package debughttp

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A plot is drawn in a box of this size, in the units of its viewBox: the labels of
// its values on the left, those of its times below.
const (
	boxWidth  = 320
	boxHeight = 120
	left      = 46
	right     = 312
	top       = 8
	bottom    = 100
)

// drawing is a plot as the template writes it.
type drawing struct {
	Title    string
	Lines    []stroke
	Bars     []bar
	Grid     []tick
	Nothing  bool // there are no values
	Sentence string
}

// stroke is a line, and its entry in the legend.
type stroke struct {
	Name  string
	Class string
	Path  string // "": it has no point
	Last  string // its newest value
}

type bar struct{ X, Y, Width, Height string }

// tick is a line of the grid, with what it stands for.
type tick struct {
	Y     string
	Label string
}

// Drawings are the plots, drawn.
func (v view) Drawings() (all []drawing) {
	if v.History == nil {
		return nil
	}
	for _, p := range v.History.Plots {
		all = append(all, p.draw())
	}
	return all
}

func (p plotView) draw() drawing {
	d := drawing{Title: p.Title}
	low, high := p.extent()
	if d.Nothing = high < low; d.Nothing {
		low, high = 1, 1
	}
	a := p.axis(low, high)
	for _, value := range a.ticks {
		d.Grid = append(d.Grid, tick{coordinate(a.y(value)), p.label(value)})
	}
	for _, s := range p.Series {
		l := stroke{Name: s.Name, Class: class(s.style), Last: p.label(s.last())}
		if p.Unit == "1" {
			d.Bars = s.bars(a)
			l.Last = p.label(s.total())
		} else {
			l.Path = s.path(a)
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}

// styles is how many colours there are before they come again, dashed.
const styles = 8

func class(n int) string {
	switch {
	case n == len(outcomes):
		return "lost"
	case n >= styles:
		return fmt.Sprintf("s%d dashed", n%styles)
	}
	return fmt.Sprintf("s%d", n)
}

// extent is the least and the most that there is to show; high is below low when
// there is nothing.
func (p plotView) extent() (low, high number) {
	low, high = number(math.Inf(1)), number(math.Inf(-1))
	for _, s := range p.Series {
		for _, value := range s.Points {
			if value.is() {
				low, high = min(low, value), max(high, value)
			}
		}
	}
	return low, high
}

// axis says where values are.
type axis struct {
	ticks    []number
	from, to float64 // of the values, or their logarithms
	log      bool
}

func (p plotView) axis(low, high number) axis {
	if p.log {
		return logarithmic(float64(low), float64(high))
	}
	whole := p.Unit == "1"
	top := nice(float64(high), whole)
	a := axis{to: top, ticks: []number{0, number(top)}}
	if half := top / 2; !whole || half == math.Trunc(half) {
		a.ticks = []number{0, number(half), number(top)}
	}
	return a
}

// logarithmic has whole decades, one at least.
func logarithmic(low, high float64) axis {
	const shortest = 1e-6
	from := math.Floor(math.Log10(max(low, shortest)) + 1e-9)
	to := math.Ceil(math.Log10(max(high, shortest)) - 1e-9)
	a := axis{from: from, to: max(to, from+1), log: true}
	every := math.Ceil((a.to - a.from) / 4) // so that labels do not touch each other
	for exponent := a.from; exponent <= a.to; exponent += every {
		a.ticks = append(a.ticks, number(math.Pow(10, exponent)))
	}
	return a
}

// nice is the first of 1, 2, 5, 10, … that is not less.
func nice(value float64, whole bool) float64 {
	if value <= 0 || whole && value < 1 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, n := range []float64{1, 2, 5} {
		if value <= n*power*(1+1e-9) {
			return n * power
		}
	}
	return 10 * power
}

func (a axis) y(value number) float64 {
	at := float64(value)
	if a.log {
		at = math.Log10(max(at, math.Pow(10, a.from)))
	}
	return bottom - (at-a.from)/(a.to-a.from)*(bottom-top)
}

// x is the middle of a step.
func x(n int) float64 { return left + (float64(n)+.5)*(right-left)/points }

// path goes through all values, and is broken where there are none. One that stands
// alone is a point: the ends of lines are round.
func (s seriesView) path(a axis) string {
	var b strings.Builder
	drawing := false
	for n, value := range s.Points {
		switch {
		case !value.is():
			drawing = false
			continue
		case drawing:
			b.WriteString("L")
		default:
			b.WriteString("M")
			drawing = true
		}
		b.WriteString(coordinate(x(n)) + " " + coordinate(a.y(value)))
		if b.Len() > 0 && (n+1 == len(s.Points) || !s.Points[n+1].is()) && (n == 0 || !s.Points[n-1].is()) {
			b.WriteString("h0")
		}
	}
	return b.String()
}

func (s seriesView) bars(a axis) (all []bar) {
	const width = (right - left) / points
	for n, value := range s.Points {
		if value > 0 {
			y := a.y(value)
			all = append(all, bar{coordinate(x(n) - width/2.), coordinate(y), coordinate(width), coordinate(bottom - y)})
		}
	}
	return all
}

func (s seriesView) total() (all number) {
	for _, value := range s.Points {
		if value.is() {
			all += value
		}
	}
	return all
}

// coordinate is a place in the box, to a tenth.
func coordinate(at float64) string {
	return strconv.FormatFloat(math.Round(at*10)/10, 'f', -1, 64)
}

// label is a value as a person reads it, with its unit.
func (p plotView) label(value number) string {
	switch {
	case !value.is():
		return "–"
	case value == 0:
		return "0"
	case p.Unit == "s":
		return span(time.Duration(float64(value) * float64(time.Second)))
	}
	return count(float64(value))
}

// span has three digits at most: 850 µs, 1.2 ms, 30 s.
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d >= u.unit {
			return digits(float64(d)/float64(u.unit)) + " " + u.name
		}
	}
	return digits(float64(d)/float64(time.Microsecond)) + " µs"
}

// count is 0.2, 12, 3.4k, 120k, 1.2M.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return digits(n/1e6) + "M"
	case n >= 1e3:
		return digits(n/1e3) + "k"
	}
	return digits(n)
}

// digits are those that matter.
func digits(n float64) string {
	places := 1
	if n >= 10 {
		places = 0
	} else if n < 1 {
		places = 2
	}
	text := strconv.FormatFloat(n, 'f', places, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
