package main

import (
	"encoding/json"
	"math"
	"os"
)

// writeJSON writes all that was measured. Latencies are in seconds, rates in cycles a second.
func writeJSON(path string, where *env, reports []*report) error {
	text, err := json.MarshalIndent(struct {
		Environment *env      `json:"environment"`
		Scenarios   []*report `json:"scenarios"`
	}{where, reports}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// MarshalJSON leaves out what JSON has no number for.
func (v values) MarshalJSON() ([]byte, error) {
	finite := make(map[string]float64, len(v))
	for key, value := range v {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			finite[key] = value
		}
	}
	return json.Marshal(finite)
}
