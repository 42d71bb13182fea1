package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/redis/go-redis/v9/logging"
)

// command is a row of the table that dispatch, help and completion are made from.
type command struct {
	name  string
	args  string // what follows the flags, for the usage line
	short string // one line, for the list
	long  string // for its own help
	rest  string // what completion offers for arguments: one word each, or "command"
	make  func() action
}

// action is one call of a command: its flags, and what it does.
type action interface {
	flags(fs *flag.FlagSet)
	run(ctx context.Context, args arguments) error
}

// arguments are what is not a flag: in front of the first "--", and behind it.
type arguments struct{ front, behind []string }

// all is the arguments of a command that does not tell the two apart.
func (a arguments) all() []string { return append(a.front, a.behind...) }

// commands is the table. A func, since help is a command that shows it.
func commands() []command {
	return []command{runRow, electRow, observeRow, statusRow, listRow, releaseRow, doctorRow, benchRow, demoRow, completionRow, versionRow, helpRow}
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// execute does what the command line says and returns the exit code.
func execute(args []string) int {
	logging.Disable() // go-redis's own words on standard error; ours say it in one line
	name, err := dispatch(context.Background(), args)
	return report(os.Stderr, name, err)
}

// dispatch runs a command, and returns its name for the error that it ended with.
func dispatch(ctx context.Context, args []string) (name string, err error) {
	if len(args) == 0 {
		return "", usage("name a command: run, elect, observe, status, list, release, doctor, bench or demo; `holdfast help` says what they do")
	}
	switch args[0] {
	case "-h", "-help", "--help":
		return "", printHelp(os.Stdout, "")
	case "-version", "--version":
		return "", printVersion(os.Stdout)
	case completing:
		return "", complete(os.Stdout, args[1:])
	}
	c, known := find(args[0])
	if !known {
		return "", usage("there is no such command%s; `holdfast help` lists them", quoted(args[0]))
	}
	a := c.make()
	fs := newFlagSet(c.name, a)
	rest, err := parse(fs, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return "", printHelp(os.Stdout, c.name)
	case err != nil:
		return c.name, usage("%w; see `holdfast help %s`", err, c.name)
	}
	return c.name, a.run(ctx, rest)
}

// quoted shows a word, unless it might hold a password: a URL in the wrong place.
func quoted(word string) string {
	if strings.ContainsAny(word, ":@/=") {
		return ""
	}
	return fmt.Sprintf(" as %q", word)
}

func newFlagSet(name string, a action) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // what there is to say is said in one line
	fs.Usage = func() {}
	a.flags(fs)
	return fs
}

// parse reads flags wherever they stand in front of the first "--".
func parse(fs *flag.FlagSet, args []string) (rest arguments, err error) {
	for k, arg := range args {
		if arg == "--" {
			args, rest.behind = args[:k:k], args[k+1:]
			break
		}
	}
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if strings.HasPrefix(err.Error(), "bad flag syntax") { // it would quote the value as well
				err = errors.New("a flag has the form --name or --name=value")
			}
			return rest, err
		}
		if args = fs.Args(); len(args) > 0 {
			rest.front = append(rest.front, args[0])
			args = args[1:]
		}
	}
	return rest, nil
}
