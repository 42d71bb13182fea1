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
	Records []*record `json:"records"`

	columns []column
	glance  func(*report) *table
}

func newReport(s scenario) *report {
	return &report{Name: s.name, Title: s.title, columns: s.columns, glance: s.glance}
}

// record is one row: one peer in one cell.
type record struct {
	Peer      string   `json:"peer"`
	Instances int      `json:"instances"`
	Callers   int      `json:"callers"`
	Under     string   `json:"under,omitempty"`
	Median    values   `json:"median"`
	Rounds    []values `json:"rounds"`
}

func (r *record) cell() cell { return cell{r.Instances, r.Callers, r.Under} }

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
func compare(records []*record, key, base, as string) { compareTo(records, key, base, key, as) }

// compareTo is compare with another value of the base.
func compareTo(records []*record, key, base, baseKey, as string) {
	i := slices.IndexFunc(records, func(r *record) bool { return r.Peer == base })
	if i < 0 {
		return
	}
	for _, r := range records {
		for k, round := range r.Rounds {
			value, ok := round[key]
			if ratio := value / records[i].Rounds[k][baseKey]; ok && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
				round[as] = ratio
			}
		}
		r.settle()
	}
}

// find returns the record of a peer in a cell, or nil.
func (r *report) find(peer string, c cell) *record {
	i := slices.IndexFunc(r.Records, func(rec *record) bool { return rec.Peer == peer && rec.cell() == c })
	if i < 0 {
		return nil
	}
	return r.Records[i]
}

// column returns the column of a key.
func (r *report) column(key string) column {
	return r.columns[slices.IndexFunc(r.columns, func(c column) bool { return c.key == key })]
}

// print prints the report for people.
func (r *report) print(w io.Writer, markdown bool) {
	heading(w, markdown, r.Name+": "+r.Title)
	if r.glance != nil {
		r.glance(r).print(w, markdown)
	}
	r.table().print(w, markdown)
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(r.Notes, "\n"))
	}
}

func heading(w io.Writer, markdown bool, text string) {
	mark := "=="
	if markdown {
		mark = "###"
	}
	fmt.Fprintf(w, "\n%s %s\n", mark, text)
}

// table has a row for every record.
func (r *report) table() *table {
	under := slices.ContainsFunc(r.Records, func(rec *record) bool { return rec.Under != "" })
	t := &table{head: []string{"instances", "callers", "peer"}}
	if under {
		t.head = []string{"instances", "callers", "under", "peer"}
	}
	t.left = len(t.head)
	for _, c := range r.columns {
		t.head = append(t.head, c.head)
	}
	var last cell
	for _, rec := range r.Records {
		if here := rec.cell(); here != last {
			if last != (cell{}) {
				t.gap()
			}
			last = here
		}
		row := []string{fmt.Sprint(rec.Instances), fmt.Sprint(rec.Callers)}
		if under {
			row = append(row, rec.Under)
		}
		row = append(row, rec.Peer)
		for _, c := range r.columns {
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
