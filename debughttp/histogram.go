package debughttp

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts times, in buckets that double every quarters of them: from
// shortest to longest, as small however many are counted.
type histogram [octaves * quarters]uint32

const (
	quarters = 4
	octaves  = 22
	unit     = 4 * time.Microsecond // the width of the narrowest buckets; the shortest is quarters of it
)

// add counts a time. What is shorter or longer than all buckets is in the first or
// the last.
func (h *histogram) add(d time.Duration) {
	n := max(quarters, uint64(max(0, d)/unit))
	octave := bits.Len64(n) - 3 // the first has 4, 5, 6 and 7 units
	if octave >= octaves {
		h[len(h)-1]++
		return
	}
	h[octave*quarters+int(n>>octave)-quarters]++
}

// join adds what another has counted.
func (h *histogram) join(other *histogram) {
	for n, count := range other {
		h[n] += count
	}
}

// quantile is the upper edge of the bucket in which that part of all ends; no
// number when nothing was counted.
func (h *histogram) quantile(q float64) number {
	all := uint64(0)
	for _, count := range h {
		all += uint64(count)
	}
	if all == 0 {
		return none
	}
	rest := int64(math.Ceil(q * float64(all)))
	for n, count := range h {
		if rest -= int64(count); rest <= 0 {
			return number((time.Duration(n%quarters+quarters+1) << (n / quarters) * unit).Seconds())
		}
	}
	return none // cannot happen: all are counted
}
