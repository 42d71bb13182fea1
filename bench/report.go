package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// report is what a scenario found.
type report struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	Notes   []string  `json:"notes,omitempty"`
	Columns []column  `json:"-"`
	Records []*record `json:"records"`

	glance func(*report) *table // a second table, which shows less at once; nil is none
}

// record is one row: one peer in one cell.
type record struct {
	Peer      string   `json:"peer"`
	Instances int      `json:"instances"`
	Callers   int      `json:"callers"`
	Median    values   `json:"median"`
	Rounds    []values `json:"rounds"`
}

// column shows one of a record's values.
type column struct {
	key  string
	head string
	show func(float64) string
}

// settle makes the medians of the rounds.
func (r *record) settle() {
	r.Median = make(values)
	for _, round := range r.Rounds {
		for key := range round {
			r.Median[key] = r.median(key)
		}
	}
}

func (r *record) median(key string) float64 {
	var list []float64
	for _, round := range r.Rounds {
		if v, ok := round[key]; ok {
			list = append(list, v)
		}
	}
	return median(list)
}

// compare adds a ratio to every record: its value of key to that of the base, round by round, since what else the
// machine did in a round it did to both. Without the base there is no ratio.
func compare(records []*record, key, base, as string) {
	i := slices.IndexFunc(records, func(r *record) bool { return r.Peer == base })
	if i < 0 {
		return
	}
	for _, r := range records {
		for k, round := range r.Rounds {
			if ratio := round[key] / records[i].Rounds[k][key]; !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
				round[as] = ratio
			}
		}
		r.settle()
	}
}

// print prints the report for people.
func (r *report) print(w io.Writer, markdown bool) {
	heading := "\n== %s: %s\n"
	if markdown {
		heading = "\n### %s: %s\n"
	}
	fmt.Fprintf(w, heading, r.Name, r.Title)
	if r.glance != nil {
		r.glance(r).print(w, markdown)
	}
	r.table().print(w, markdown)
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(r.Notes, "\n"))
	}
}

func (r *report) table() *table {
	t := &table{head: []string{"instances", "callers", "peer"}, left: 3}
	for _, c := range r.Columns {
		t.head = append(t.head, c.head)
	}
	var last cell
	for _, rec := range r.Records {
		here := cell{rec.Instances, rec.Callers}
		if last != (cell{}) && here != last {
			t.gap()
		}
		last = here
		row := []string{fmt.Sprint(rec.Instances), fmt.Sprint(rec.Callers), rec.Peer}
		for _, c := range r.Columns {
			row = append(row, rec.show(c))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (r *record) show(c column) string {
	v, ok := r.Median[c.key]
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return c.show(v)
}
