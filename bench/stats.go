package main

import (
	"math"
	"slices"
	"time"
)

// percentile returns the value that a fraction p of the sorted samples does not exceed (nearest rank), in seconds.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[max(rank, 1)-1].Seconds()
}

// mean returns NaN for no samples, and seconds else.
func mean(samples []time.Duration) float64 {
	var sum time.Duration
	for _, d := range samples {
		sum += d
	}
	return sum.Seconds() / float64(len(samples))
}

// median returns NaN for no values. Of an even number it takes the mean of the middle two.
func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	list = slices.Sorted(slices.Values(list))
	half := len(list) / 2
	if len(list)%2 == 1 {
		return list[half]
	}
	return (list[half-1] + list[half]) / 2
}
