//go:build unix

package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// screen redraws the same lines of a terminal again and again.
type screen struct {
	file  *os.File
	drawn int // lines that are there now
}

// newScreen returns nil when the file is no terminal.
func newScreen(file *os.File) *screen {
	if _, _, ok := size(file); !ok || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &screen{file: file}
}

// size is that of the terminal, in characters; not ok when the file is none.
func size(file *os.File) (width, height int, ok bool) {
	w, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	if w.Col == 0 || w.Row == 0 { // a terminal that does not know
		return 80, 24, true
	}
	return int(w.Col), int(w.Row), true
}

// Escape sequences of every terminal.
const (
	toFirstColumn = "\r"
	up            = "\x1b[A"
	clearLine     = "\x1b[K"
	clearBelow    = "\x1b[J"
)

// rows is how many lines fit: the cursor has the last one.
func (s *screen) rows() int {
	_, height, _ := size(s.file)
	return max(1, height-1)
}

// draw puts a text in the place of the last one. What is too wide or too high is
// cut, since a terminal that scrolls or wraps would tear it. It is one write.
func (s *screen) draw(text string) error {
	width, _, _ := size(s.file)
	rows := s.rows()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = lines[:min(len(lines), rows)]
	var b strings.Builder
	b.WriteString(toFirstColumn)
	b.WriteString(strings.Repeat(up, min(s.drawn, rows)))
	for _, line := range lines {
		b.WriteString(cut(line, width) + clearLine + "\n")
	}
	b.WriteString(clearBelow)
	s.drawn = len(lines)
	_, err := s.file.WriteString(b.String())
	return err
}

// cut returns the first characters of a line that fit into the width. Escape
// sequences take no room and are kept, so that a colour ends where it should.
func cut(line string, width int) string {
	var b strings.Builder
	escape := false
	for _, c := range line {
		switch {
		case c == '\x1b':
			escape = true
		case escape:
			escape = c == '[' || c >= '0' && c <= '9' || c == ';'
		case width == 0:
			continue
		default:
			width--
		}
		b.WriteRune(c)
	}
	return b.String()
}
