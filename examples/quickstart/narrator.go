package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	width  = 80 // of a line, in characters
	indent = 16 // of the text: behind the time and the name
)

// narrator prints what happens, with the milliseconds since the start:
//
//	Acquire
//	     7 ms  Ada  holds the report: a majority said yes, in 0.6 ms.
type narrator struct {
	out         io.Writer
	bold, plain string // what a terminal wants around a title
	start       time.Time
	failure     error // the first one of out
}

func newNarrator(out io.Writer) narrator {
	n := narrator{out: out, start: time.Now()}
	if isTerminal(out) {
		n.bold, n.plain = "\x1b[1m", "\x1b[0m"
	}
	return n
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// title comes before everything.
func (n *narrator) title(title string) { n.print("%s%s%s\n", n.bold, title, n.plain) }

// chapter begins a step of the story.
func (n *narrator) chapter(title string) {
	n.print("\n%s%s%s\n", n.bold, title, n.plain)
}

// say tells what somebody does, or what happens when who is "".
func (n *narrator) say(who, format string, args ...any) {
	lines := wrap(fmt.Sprintf(format, args...))
	n.print("%6d ms  %-4s %s\n", time.Since(n.start).Milliseconds(), who, lines[0])
	n.lines(lines[1:])
}

// quote shows what is not ours to phrase, such as an error. An error is one line;
// here it is broken to fit.
func (n *narrator) quote(text string) { n.lines(wrap(text)) }

func (n *narrator) lines(lines []string) {
	for _, line := range lines {
		n.print("%*s%s\n", indent, "", line)
	}
}

func (n *narrator) print(format string, args ...any) {
	if _, err := fmt.Fprintf(n.out, format, args...); err != nil && n.failure == nil {
		n.failure = err
	}
}

// wrap breaks a text into lines that fit behind the indent, as far as its words do.
func wrap(text string) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case indent+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// ms writes a duration as the time column does.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
