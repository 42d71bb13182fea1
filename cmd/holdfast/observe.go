package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

var observeRow = command{
	name:  "observe",
	args:  "ELECTION",
	short: "show who leads, and each change of that",
	make:  func() action { return new(observeAction) },
	long: `Writes a line for who leads the election now, and one for each change: another leader,
another value of the same one (` + "`holdfast elect --value`" + `), and that nobody leads. The
instances tell of changes, within milliseconds. It goes on until ^C.

It shows who led when a majority of the instances was asked. Two leaders that were shown
one after the other may have had others between them. Terms never sink. Who holds the lock
of that name by ` + "`holdfast run`" + ` leads nothing, and is not shown: see ` + "`holdfast status`" + `.

--json writes an object a line: time, election, state (held, free or unknown), term,
value, owner and error. --once writes one line, and ends.

Exit codes: 0 when ^C has ended it, or, with --once, when somebody leads; with --once 1
when nobody does, and 69 when too few instances answer; 64 for a wrong command line.`,
}

// observeAction is `holdfast observe`.
type observeAction struct {
	servers
	json bool
	once bool
}

func (o *observeAction) flags(fs *flag.FlagSet) {
	o.servers.flags(fs)
	fs.BoolVar(&o.json, "json", false, "write JSON")
	fs.BoolVar(&o.once, "once", false, "write who leads now, and end")
}

func (o *observeAction) run(ctx context.Context, args arguments) error {
	elections := args.all()
	if len(elections) != 1 {
		return usage("name one election: holdfast observe ELECTION")
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	locks, err := o.look(ctx, o.config())
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }()
	for now, err := range locks.Observe(ctx, elections[0]) {
		switch {
		case ctx.Err() != nil: // ^C is how it ends
			return nil
		case err != nil && !errors.Is(err, engine.ErrNoQuorum):
			return err
		}
		if err := o.print(elections[0], now, err); err != nil {
			return err
		}
		switch {
		case !o.once:
		case err != nil:
			return &exitError{code: exitNoQuorum}
		case !now.Held:
			return &exitError{code: exitNo}
		default:
			return nil
		}
	}
	return nil
}

// plainLeadership is what was seen, as JSON has it.
type plainLeadership struct {
	Time     string `json:"time"`
	Election string `json:"election"`
	State    string `json:"state"` // held, free or unknown
	Term     uint64 `json:"term,omitempty"`
	Value    string `json:"value,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Err      string `json:"error,omitempty"`
}

// print writes one line.
func (o *observeAction) print(election string, now engine.Leadership, unknown error) (err error) {
	at := time.Now()
	if o.json {
		p := plainLeadership{Time: at.UTC().Format(timeFormat), Election: election, State: "free", Term: now.Term, Value: now.Value, Owner: now.Owner}
		switch {
		case unknown != nil:
			p.State, p.Err = "unknown", oneLine(unknown.Error())
		case now.Held:
			p.State = "held"
		}
		return json.NewEncoder(os.Stdout).Encode(p)
	}
	text := now.String()
	if unknown != nil {
		text = "who leads is not known: " + oneLine(unknown.Error())
	}
	_, err = fmt.Printf("%s  %s\n", at.Format(time.RFC3339), text)
	return err
}
