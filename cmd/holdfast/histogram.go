package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// histogram counts durations in buckets that are 5% wide, from a microsecond to
// an hour and more: as small however long it is used.
type histogram struct {
	buckets [452]int
	count   int
	longest time.Duration
}

const bucketWidth = 1.05

func (h *histogram) record(d time.Duration) {
	n := int(math.Log(max(1, float64(d.Nanoseconds())/1000)) / math.Log(bucketWidth))
	h.buckets[min(n, len(h.buckets)-1)]++
	h.count++
	h.longest = max(h.longest, d)
}

func (h *histogram) add(other *histogram) {
	for n, count := range other.buckets {
		h.buckets[n] += count
	}
	h.count += other.count
	h.longest = max(h.longest, other.longest)
}

// quantile is the upper edge of the bucket in which that part of all ends.
func (h *histogram) quantile(q float64) time.Duration {
	rest := int(math.Ceil(q * float64(h.count)))
	for n, count := range h.buckets {
		if rest -= count; rest <= 0 && n < len(h.buckets)-1 { // the last one has no upper edge
			edge := time.Duration(math.Pow(bucketWidth, float64(n+1)) * 1000)
			return min(edge, h.longest)
		}
	}
	return h.longest
}

// summary is what is shown of a histogram.
type summary struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func (h *histogram) summary() summary {
	return summary{millis(h.quantile(0.5)), millis(h.quantile(0.9)), millis(h.quantile(0.99)), millis(h.longest)}
}

func (s summary) String() string {
	return fmt.Sprintf("p50 %.2fms  p90 %.2fms  p99 %.2fms  max %.2fms", s.P50, s.P90, s.P99, s.Max)
}

func millis(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/10) / 100 }

// thousands writes a number with commas.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// bar is how much of a whole is over.
func bar(part, whole time.Duration, width int) string {
	full := min(width, int(float64(width)*part.Seconds()/whole.Seconds()))
	return "[" + strings.Repeat("#", full) + strings.Repeat(" ", width-full) + "]"
}
