package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
)

// findings are all that was measured. Latencies are in seconds, rates in cycles a second, memory is in bytes.
type findings struct {
	Environment *env       `json:"environment"`
	Scenarios   []*report  `json:"scenarios"`
	Bars        []*verdict `json:"bars"`
}

func writeJSON(path string, found *findings) error {
	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// readJSON reads what writeJSON wrote.
func readJSON(path string) (*findings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := &findings{Environment: new(env)}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, fmt.Errorf("%s is not what -json writes: %w", path, err)
	}
	for _, r := range found.Scenarios {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == r.Name })
		if i < 0 {
			return nil, fmt.Errorf("%s has a scenario %q, which this program does not know", path, r.Name)
		}
		r.columns, r.glance = scenarios[i].columns, scenarios[i].glance
	}
	return found, nil
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
