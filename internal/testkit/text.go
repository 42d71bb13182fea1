package testkit

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// OneLine ends the test unless there is an error, of one line.
func OneLine(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error, want one")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Fatalf("got an error of several lines, want one line: %v", err)
	}
}

// Log is what is logged. Several goroutines may write it while a test reads it. Its zero value is empty.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to the log, as an io.Writer does.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that has been logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count returns how often the log has the text.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
