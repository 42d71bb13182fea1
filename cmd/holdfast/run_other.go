//go:build !unix

package main

import (
	"context"
	"flag"
)

func newRun() action { return noRun{} }

func newElect() action { return noRun{} }

// noRun says so where there are no process groups: a command that has lost its
// lock could not be ended with all its children.
type noRun struct{}

func (noRun) flags(*flag.FlagSet) {}

func (noRun) run(context.Context, arguments) error {
	return usage("it needs the process groups of Unix; use the library on this system")
}
