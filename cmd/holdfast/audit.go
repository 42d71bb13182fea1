package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/tell"
	"github.com/holdfast-go/holdfast/lease"
)

// audit writes down who got a lock, lost it, gave it back or took it away: one
// JSON object a line, in a file or to syslog. Nothing waits for it. The zero value
// writes nothing.
type audit struct {
	to    string // "", a file's name, or "syslog"
	name  string // of the command, for the warning
	write func(entry, []byte) error
	queue *tell.Queue[entry]
	warn  sync.Once
}

// entry is one line.
type entry struct {
	Time     string `json:"time"`  // RFC 3339, UTC, milliseconds
	Event    string `json:"event"` // grant, loss, release, force
	Resource string `json:"resource"`
	Owner    string `json:"owner,omitempty"`  // of the holder
	Holder   string `json:"holder,omitempty"` // its token, abbreviated
	Fence    uint64 `json:"fence,omitempty"`
	Cause    string `json:"cause,omitempty"`   // of a loss or a release
	Held     *int64 `json:"held_ms,omitempty"` // until then
	Error    string `json:"error,omitempty"`   // force: why it may not have come to pass
	User     string `json:"user"`              // who did it: this process
	PID      int    `json:"pid"`
	Host     string `json:"host"`
}

const (
	// auditLines is how many lines may wait to be written.
	auditLines = 1024
	// auditPatience is how long the end of the process waits for them: a disk that
	// hangs holds nothing up.
	auditPatience = time.Second
)

func (a *audit) flags(fs *flag.FlagSet) {
	fs.StringVar(&a.to, "audit", "", "write each grant, loss, release and force, in JSON, to the end of `FILE`, or to syslog if FILE is syslog")
}

// open sees that it can be written, before anything is locked. Its caller
// calls close.
func (a *audit) open(command string) (err error) {
	switch a.name = command; a.to {
	case "":
		return nil
	case "syslog":
		a.write, err = openSyslog()
	default:
		a.write, err = openFile(a.to)
	}
	if err != nil {
		return usage("--audit: %w", err)
	}
	a.queue = tell.New(tell.Config[entry]{Tell: a.tell, Limit: auditLines})
	return nil
}

// openFile opens the file once for each line, so that one that is moved away, as
// logrotate does, is left alone from then on. Each line is one write to the end:
// those of several processes do not mix.
func openFile(name string) (func(entry, []byte) error, error) {
	open := func() (*os.File, error) { return os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) }
	f, err := open()
	if err != nil {
		return nil, err
	}
	return func(_ entry, line []byte) error {
		f, err := open()
		if err != nil {
			return err
		}
		_, err = f.Write(line)
		return errors.Join(err, f.Close())
	}, f.Close()
}

// tell writes one line. It is called on the queue's goroutine.
func (a *audit) tell(e entry) {
	line, err := json.Marshal(e)
	if err == nil {
		err = a.write(e, append(line, '\n'))
	}
	if err != nil {
		a.warn.Do(func() {
			fmt.Fprintf(os.Stderr, "holdfast %s: warning: --audit: %s\n", a.name, oneLine(err.Error()))
		})
	}
}

// close waits until all is written, for a while.
func (a *audit) close() {
	if a.queue == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditPatience)
	defer cancel()
	a.queue.Close(ctx)
}

// trace writes down how leases end; nil when nothing is to be written.
func (a *audit) trace() *engine.Trace {
	if a.queue == nil {
		return nil
	}
	return &engine.Trace{Ended: func(end engine.EndedInfo) {
		for _, e := range entriesOf(end.Lease) {
			e.Event, e.Cause = "release", engine.Cause(end.Cause)
			if errors.Is(end.Cause, lease.ErrLost) {
				e.Event = "loss"
			}
			ms := end.Held.Milliseconds()
			e.Held = &ms
			a.put(e)
		}
	}}
}

func (a *audit) granted(l *lease.Lease) {
	for _, e := range entriesOf(l) {
		e.Event = "grant"
		a.put(e)
	}
}

// gaveBack writes down a release by the token that held the lock: since when, and
// with which fence, only its own process knows.
func (a *audit) gaveBack(resource, token string) {
	e := holderEntry(resource, token)
	e.Event, e.Cause = "release", engine.Cause(lease.ErrReleased)
	a.put(e)
}

// forced writes down what was taken away by force: from each holder that any of the
// servers had seen.
func (a *audit) forced(seen engine.Status, err error) {
	told := make(map[string]bool)
	for _, v := range seen.Votes {
		if v.Holder == "" || told[v.Holder] {
			continue
		}
		told[v.Holder] = true
		e := holderEntry(seen.Resource, v.Holder)
		if e.Event = "force"; err != nil {
			e.Error = oneLine(err.Error())
		}
		a.put(e)
	}
}

// entriesOf is an entry for each resource of a lease.
func entriesOf(l *lease.Lease) (entries []entry) {
	for _, resource := range l.Resources() {
		e := holderEntry(resource, l.Token())
		e.Fence = l.Fence()
		entries = append(entries, e)
	}
	return entries
}

func holderEntry(resource, token string) entry {
	owner, _ := engine.ParseToken(token)
	return entry{Resource: resource, Owner: owner, Holder: shortened(token)}
}

func (a *audit) put(e entry) {
	if a.queue == nil {
		return
	}
	e.Time = time.Now().UTC().Format(timeFormat)
	e.User, e.PID = userName(), os.Getpid()
	e.Host, _ = os.Hostname()
	a.queue.Put(e)
}

// timeFormat is RFC 3339 with milliseconds, which are cut and not rounded.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// userName is who runs this process, by number if there is no name.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
