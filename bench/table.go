package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// table is text in rows and columns.
type table struct {
	head []string
	left int        // so many columns are text, aligned left; the others are numbers
	rows [][]string // a nil row is a gap
}

func (t *table) gap() { t.rows = append(t.rows, nil) }

// print prints the table, aligned, so that Markdown can be read as it is, too.
func (t *table) print(w io.Writer, markdown bool) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	fmt.Fprintln(w)
	t.line(w, markdown, widths, t.head)
	if markdown {
		t.rule(w, widths)
	}
	for _, row := range t.rows {
		switch {
		case row != nil:
			t.line(w, markdown, widths, row)
		case !markdown: // Markdown has no gaps
			fmt.Fprintln(w)
		}
	}
}

func (t *table) line(w io.Writer, markdown bool, widths []int, row []string) {
	fields := make([]string, len(row))
	for i, text := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		if i < t.left {
			fields[i] = text + pad
		} else {
			fields[i] = pad + text
		}
	}
	if markdown {
		fmt.Fprintf(w, "| %s |\n", strings.Join(fields, " | "))
		return
	}
	fmt.Fprintln(w, strings.TrimRight(strings.Join(fields, "  "), " "))
}

// rule is the line below a Markdown table's head, which says how the columns are aligned.
func (t *table) rule(w io.Writer, widths []int) {
	for i, width := range widths {
		if i < t.left {
			fmt.Fprintf(w, "|:%s", strings.Repeat("-", width+1))
		} else {
			fmt.Fprintf(w, "|%s:", strings.Repeat("-", width+1))
		}
	}
	fmt.Fprintln(w, "|")
}

// How values are shown.

// count shows whole numbers, with commas, and small ones with one digit more.
func count(v float64) string {
	if v != math.Trunc(v) && v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// ratio shows how many times as much it is.
func ratio(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f×", v)
	}
	return fmt.Sprintf("%.1f×", v)
}

// duration shows seconds, to three digits.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	unit := time.Duration(1)
	for d >= 1000*unit {
		unit *= 10
	}
	text := d.Round(unit).String()
	for _, u := range []string{"µs", "ms", "ns", "s"} {
		if number, ok := strings.CutSuffix(text, u); ok {
			return number + " " + u
		}
	}
	return text
}

// decimal shows one digit after the point.
func decimal(v float64) string { return fmt.Sprintf("%.1f", v) }

// percent shows a share.
func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

// memory shows bytes.
func memory(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }
