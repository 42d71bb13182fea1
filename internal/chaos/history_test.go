//go:build linux

package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kind says what an event is about.
type kind string

const (
	acquired kind = "acquired" // a lease was granted
	held     kind = "held"     // it said that it is valid
	ended    kind = "ended"    // the holder is through with it, or it was lost
	writing  kind = "writing"  // a write to the protected register is sent
	written  kind = "written"  // and answered
	sampled  kind = "sampled"  // its keys were counted, and it was valid before and after
	starved  kind = "starved"  // a waiter did not get its lock, though the faults were over
	leaked   kind = "leaked"   // something was left when a client had closed everything
)

// event is one line of a history. Times are in ns of CLOCK_MONOTONIC, which is
// the same for all processes of the machine.
type event struct {
	Kind     kind
	As       wishKind `json:",omitempty"` // acquired: in which way
	Client   string   `json:",omitempty"`
	Lease    int      `json:",omitempty"` // its number in this client
	Resource string   `json:",omitempty"`
	Fence    uint64   `json:",omitempty"`
	Call     int64    `json:",omitempty"` // acquired: when it was asked for
	At       int64    // acquired, written: after the answer; held, writing: before the question
	Until    int64    `json:",omitempty"` // acquired, held: the deadline
	Value    string   `json:",omitempty"` // writing: what is written; no two are alike
	Before   string   `json:",omitempty"` // written: what was there
	OK       bool     `json:",omitempty"` // written: accepted; sampled: enough keys
	Text     string   `json:",omitempty"` // leaked, starved, sampled: what there was
}

// now reads the clock that all processes share.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// onClock translates a time of this process.
func onClock(t time.Time) int64 {
	left := time.Until(t) // first: a process that is stopped in between is not to look as if it had gone on for too long
	return now() + int64(left)
}

// recorder writes a history. Each event is in the file when add returns, so that
// only what a killed client has not got round to is missing.
type recorder struct {
	client string
	mu     sync.Mutex
	file   *os.File
}

func (r *recorder) add(e event) {
	e.Client = r.client
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// readHistory reads what one client has written. A last line that was broken off
// does not count.
func readHistory(path string) ([]event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []event
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
}
