package main

import (
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"slices"
	"strings"
)

// The chart shows the scenario distinct: a line for every cell, a mark for every peer, on a logarithmic scale, where
// the same distance is the same ratio. It is one SVG file without scripts or fonts of its own, in light colours, or
// dark ones where the reader prefers them.

// draw draws the chart into a file.
func draw(path string, found *findings) error {
	i := slices.IndexFunc(found.Scenarios, func(r *report) bool { return r.Name == distinct.name })
	if i < 0 {
		return errors.New("-chart draws the scenario distinct, which was not measured")
	}
	return os.WriteFile(path, []byte(newChart(found.Scenarios[i], found.Environment).svg()), 0o644)
}

// Lengths, in pixels.
const (
	chartWidth = 860
	plotLeft   = 128.0
	plotRight  = 650.0
	plotTop    = 122.0
	lineHeight = 30.0
	groupGap   = 18.0
)

// chart is a report to be drawn.
type chart struct {
	report   *report
	env      *env
	cells    []cell
	heights  []float64 // of the cells' lines
	bottom   float64
	low      float64 // the ends of the scale, as powers of ten
	high     float64
	elements strings.Builder
}

func newChart(r *report, e *env) *chart {
	c := &chart{report: r, env: e, low: math.Inf(1), high: math.Inf(-1)}
	y := plotTop + lineHeight/2
	for _, rec := range r.Records {
		if here := rec.cell(); !slices.Contains(c.cells, here) {
			if len(c.cells) > 0 && c.cells[len(c.cells)-1].instances != here.instances {
				y += groupGap
			}
			c.cells, c.heights = append(c.cells, here), append(c.heights, y)
			y += lineHeight
		}
		if rate := rec.Median["rate"]; rate > 0 {
			c.low, c.high = min(c.low, math.Log10(rate)), max(c.high, math.Log10(rate))
		}
	}
	c.bottom = y - lineHeight/2
	c.low, c.high = math.Floor(c.low), math.Ceil(c.high)
	return c
}

// x is the place of a rate on the scale.
func (c *chart) x(rate float64) float64 {
	return plotLeft + (plotRight-plotLeft)*(math.Log10(rate)-c.low)/(c.high-c.low)
}

func (c *chart) add(format string, args ...any) {
	fmt.Fprintf(&c.elements, format+"\n", args...)
}

func (c *chart) text(x, y float64, class, text string) {
	c.add(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, html.EscapeString(text))
}

func (c *chart) svg() string {
	height := c.bottom + 70
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-labelledby="title desc">`,
		chartWidth, height, chartWidth, height)
	c.add(`<title id="title">Locks a second, by peer</title>`)
	c.add(`<desc id="desc">%s</desc>`, html.EscapeString(c.words()))
	c.add(`<style>%s</style>`, chartStyle)
	c.add(`<rect class="paper" x="0.5" y="0.5" width="%d" height="%.0f" rx="8"/>`, chartWidth-1, height-1)
	c.text(24, 34, "headline", "Acquire + release, cycles a second")
	c.text(24, 54, "small", "Every caller has a resource of its own. Logarithmic: the same distance is the same ratio. Further right is faster.")
	c.legend()
	c.scale()
	for i, here := range c.cells {
		c.line(here, c.heights[i], i == 0 || c.cells[i-1].instances != here.instances)
	}
	for i, text := range c.conditions() {
		c.text(24, c.bottom+42+float64(16*i), "small", text)
	}
	c.add(`</svg>`)
	return c.elements.String()
}

// legend names the peers that were measured.
func (c *chart) legend() {
	x, y := 30.0, 82.0
	for _, p := range locks {
		if !slices.ContainsFunc(c.report.Records, func(r *record) bool { return r.Peer == p.name }) {
			continue
		}
		width := 24 + 6.9*float64(len(p.name))
		c.mark(p.name, x, y)
		c.text(x+12, y+4, "name", p.name)
		x += width + 10
	}
}

// scale draws the powers of ten.
func (c *chart) scale() {
	for power := c.low; power <= c.high; power++ {
		rate := math.Pow(10, power)
		c.add(`<line class="grid" x1="%[1]f" x2="%[1]f" y1="%[2]f" y2="%[3]f"/>`, c.x(rate), plotTop, c.bottom)
		c.text(c.x(rate), c.bottom+16, "tick", count(rate))
	}
	c.text(plotRight+90, plotTop-4, "end small", "Holdfast")
}

// line draws the peers of one cell.
func (c *chart) line(here cell, y float64, first bool) {
	if first {
		c.text(24, y+4, "strong", fmt.Sprintf("N=%d", here.instances))
	}
	c.text(plotLeft-14, y+4, "end", plural(here.callers, "caller"))
	c.add(`<line class="grid" x1="%f" x2="%f" y1="%[3]f" y2="%[3]f"/>`, plotLeft, plotRight, y)
	if ours := c.report.find(holdfast.name, here); ours != nil {
		c.text(plotRight+90, y+4, "end strong", count(ours.Median["rate"]))
		if times, ok := ours.Median["to redsync"]; ok {
			c.text(plotRight+102, y+4, "small", ratio(times)+" redsync")
		}
	}
	c.span(here, y)
	for _, p := range slices.Backward(locks) { // Holdfast is the first, and on top
		if rec := c.report.find(p.name, here); rec != nil && rec.Median["rate"] > 0 {
			c.mark(p.name, c.x(rec.Median["rate"]), y)
		}
	}
}

// span joins Holdfast and redsync, so that the ratio can be seen.
func (c *chart) span(here cell, y float64) {
	ours, base := c.report.find(holdfast.name, here), c.report.find(redsyncDefault.name, here)
	if ours == nil || base == nil || ours.Median["rate"] <= 0 || base.Median["rate"] <= 0 {
		return
	}
	c.add(`<line class="span" x1="%f" x2="%f" y1="%[3]f" y2="%[3]f"/>`, c.x(base.Median["rate"]), c.x(ours.Median["rate"]), y)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// marks are the peers' shapes, around (0, 0). Those of one family share a colour.
var marks = map[string]string{
	"holdfast":           `<circle class="holdfast" r="6.5"/>`,
	"redsync":            `<rect class="redsync" x="-4.5" y="-4.5" width="9" height="9"/>`,
	"redsync, fail-fast": `<rect class="redsync hollow" x="-4" y="-4" width="8" height="8"/>`,
	"redsync, rueidis":   `<path class="redsync hollow" d="M0 -5.5 L5.5 4.5 L-5.5 4.5 Z"/>`,
	"redislock":          `<path class="redislock" d="M0 -6 L6 0 L0 6 L-6 0 Z"/>`,
	"rueidislock":        `<path class="rueidislock" d="M0 -5.5 L5.5 4.5 L-5.5 4.5 Z"/>`,
	"etcd":               `<circle class="etcd" r="5"/>`,
	"wire floor":         `<path class="floor" d="M0 -10 L0 10"/>`,
}

func (c *chart) mark(peer string, x, y float64) {
	c.add(`<g transform="translate(%.1f %.1f)">%s</g>`, x, y, marks[peer])
}

// conditions says where and with what it was measured, and what must be known of the peers.
func (c *chart) conditions() []string {
	e := c.env
	versions := fmt.Sprintf("One run on %d CPUs that clients and servers share, over loopback: %s, redis-server %s", e.CPUs, e.Go, e.Redis)
	if e.Etcd != "" {
		versions += ", etcd " + e.Etcd
	}
	return []string{
		versions + ".",
		"The wire floor is no lock: commands encoded beforehand, replies only counted. etcd has every lock on disk.",
	}
}

// words are the chart for those who cannot see it.
func (c *chart) words() string {
	var parts []string
	for _, here := range c.cells {
		ours := c.report.find(holdfast.name, here)
		if ours == nil {
			continue
		}
		text := fmt.Sprintf("%s, %s: Holdfast %s a second", plural(here.instances, "instance"), plural(here.callers, "caller"),
			count(ours.Median["rate"]))
		if times, ok := ours.Median["to redsync"]; ok {
			text += ", " + ratio(times) + " redsync"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// chartStyle has every colour twice, since not every viewer knows variables.
const chartStyle = `
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.headline { font-size: 17px; font-weight: 600; }
.strong { font-weight: 600; }
.small { font-size: 11.5px; fill: #59636e; }
.tick { font-size: 11.5px; fill: #59636e; text-anchor: middle; }
.end { text-anchor: end; }
.paper { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #e4e8ec; }
.span { stroke: #0969da; stroke-width: 3; opacity: 0.25; }
.holdfast { fill: #0969da; }
.redsync { fill: #c2410c; }
.redsync.hollow { fill: #ffffff; stroke: #c2410c; stroke-width: 1.6; }
.redislock { fill: #15803d; }
.rueidislock { fill: #8b3fc7; }
.etcd { fill: #7d8590; }
.floor { stroke: #1f2328; stroke-width: 2.5; fill: none; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.small, .tick { fill: #9198a1; }
.paper { fill: #0d1117; stroke: #3d444d; }
.grid { stroke: #262c36; }
.span { stroke: #58a6ff; }
.holdfast { fill: #58a6ff; }
.redsync { fill: #f0883e; }
.redsync.hollow { fill: #0d1117; stroke: #f0883e; }
.redislock { fill: #3fb950; }
.rueidislock { fill: #bc8cff; }
.etcd { fill: #9198a1; }
.floor { stroke: #f0f6fc; }
}
`
