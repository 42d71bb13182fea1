package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

var statusRow = command{
	name:  "status",
	args:  "RESOURCE...",
	short: "show who holds a lock, for how long, and how many wait",
	make:  func() action { return new(statusAction) },
	long: `Asks each instance who holds the lock, and for how long. It shows what a majority of
them says, and each vote. Tokens are abbreviated. This is a look, not a lock: it may be
different a moment later. Behind the holder it says how many engines wait in the queue,
and since when the first does. Those that wait without a place in it are not counted.

No instance knows who held the lock before. A running engine
knows it of its own leases (its page, debughttp), and --audit of run and release writes
it down.

Of a lock that is shared (run --shared) it says by how many, and not by whom.

With --permits 3 it looks at each of the three permits of the resource, by its name:
permit-0:{RESOURCE} is the first.

--json writes one object for each resource, on a line of its own. --watch goes on
until ^C: on a terminal it shows the present state, else it writes a line for each
change.

Exit codes: 0 when the question could be answered, whether or not somebody holds the
lock; 69 when too few instances answer; 64 for a wrong command line.`,
}

// statusAction is `holdfast status`.
type statusAction struct {
	servers
	json  bool
	watch bool
	every span

	permits int // look at so many permits of each resource; 0: at its lock
}

func (s *statusAction) flags(fs *flag.FlagSet) {
	s.servers.flags(fs)
	s.every = span(time.Second)
	fs.BoolVar(&s.json, "json", false, "write JSON")
	fs.BoolVar(&s.watch, "watch", false, "go on until ^C")
	fs.IntVar(&s.permits, "permits", 0, "show who has each of the `N` permits of a resource (run --permits)")
	fs.Var(&s.every, "every", "with --watch: look again after `TIME`")
}

func (s *statusAction) run(ctx context.Context, args arguments) error {
	resources := args.all()
	if len(resources) == 0 {
		return usage("name a resource: holdfast status RESOURCE")
	}
	if s.permits < 0 || s.permits > engine.MaxPermits {
		return usage("--permits is %d: it must be from 1 to %d", s.permits, engine.MaxPermits)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	locks, err := s.look(ctx, s.config())
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }()
	if s.permits > 0 {
		resources = permits(locks, resources, s.permits)
	}
	show := s.print
	if s.watch {
		show = s.watcher().show
	}
	for {
		looks := inspect(ctx, locks, resources)
		if ctx.Err() != nil { // ^C is how a watch ends
			return nil
		}
		if err := show(looks); err != nil {
			return err
		}
		if !s.watch {
			return answered(looks)
		}
		select {
		case <-time.After(time.Duration(s.every)):
		case <-ctx.Done():
			return nil
		}
	}
}

// permits are the names of the permits of some resources.
func permits(locks *engine.Engine, resources []string, n int) (names []string) {
	for _, resource := range resources {
		for slot := range n {
			names = append(names, locks.PermitName(resource, slot))
		}
	}
	return names
}

// seen is what one look at a resource has shown.
type seen struct {
	engine.Status
	err error
}

func inspect(ctx context.Context, locks *engine.Engine, resources []string) []seen {
	looks := make([]seen, len(resources))
	for n, resource := range resources {
		looks[n].Status, looks[n].err = locks.Inspect(ctx, resource)
	}
	return looks
}

// answered is the exit code: that of the worst answer, whose text has been printed.
func answered(looks []seen) error {
	for _, look := range looks {
		switch {
		case errors.Is(look.err, engine.ErrNoQuorum):
			return &exitError{code: exitNoQuorum}
		case look.err != nil:
			return look.err
		}
	}
	return nil
}

// print shows all looks.
func (s *statusAction) print(looks []seen) error {
	var b bytes.Buffer
	for n, look := range looks {
		if s.json {
			if err := json.NewEncoder(&b).Encode(look.plain()); err != nil {
				return err
			}
			continue
		}
		if n > 0 {
			b.WriteByte('\n')
		}
		look.write(&b)
	}
	_, err := os.Stdout.Write(b.Bytes())
	return err
}

// write is the answer in one line, and each vote in another.
func (s seen) write(w io.Writer) {
	fmt.Fprintln(w, s.String())
	for _, v := range s.Votes {
		fmt.Fprintln(w, "  "+oneLine(v.String()))
	}
}

// String is the answer in one line.
func (s seen) String() string {
	if s.err != nil && len(s.Votes) == 0 {
		return oneLine(s.err.Error())
	}
	return s.Status.String()
}

// plainStatus is a look as JSON has it.
type plainStatus struct {
	Resource  string          `json:"resource"`
	State     string          `json:"state"` // held, free or unknown
	Owner     string          `json:"owner,omitempty"`
	Holder    string          `json:"holder,omitempty"`          // its token, abbreviated
	Readers   int             `json:"readers,omitempty"`         // how many share it
	Remaining int64           `json:"remaining_ms,omitempty"`    // -1: it never expires
	Term      uint64          `json:"term,omitempty"`            // of a leader
	Value     string          `json:"value,omitempty"`           // what it has proclaimed
	Waiting   *int            `json:"engines_waiting,omitempty"` // in the queue; not there: it is not known
	First     int64           `json:"first_waited_ms,omitempty"` // the first of them, until now
	Votes     []instance.Vote `json:"votes"`
	Err       string          `json:"error,omitempty"`
}

func (s seen) plain() plainStatus {
	p := plainStatus{Resource: s.Resource, State: "free", Owner: s.Owner, Votes: s.Votes}
	if s.Waiting >= 0 {
		p.Waiting, p.First = &s.Waiting, s.WaitingFor.Milliseconds()
	}
	switch {
	case s.err != nil:
		p.State, p.Err = "unknown", oneLine(s.err.Error())
	case s.Held:
		p.State, p.Holder, p.Remaining = "held", shortened(s.Token), s.Remaining.Milliseconds()
		p.Term, p.Value = s.Term, s.Value
		p.Readers = s.Readers
		if s.Remaining < 0 {
			p.Remaining = -1
		}
	}
	return p
}

// shortened is a token abbreviated, for JSON, which does its own quoting.
func shortened(token string) string {
	text, _ := strconv.Unquote(instance.Abbreviate(token)) // it is quoted
	return text
}
