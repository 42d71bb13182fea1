package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// The exit codes. Those above 63 are what sysexits.h means by them; `holdfast
// run` returns its command's own otherwise.
const (
	exitOK         = 0
	exitNo         = 1   // the answer is no: release, doctor
	exitUsage      = 64  // the command line, or what it names, is wrong
	exitNoQuorum   = 69  // too few servers answer
	exitLost       = 70  // the lock was lost while the command ran
	exitHeld       = 75  // not acquired; -E sets another
	exitRefused    = 78  // the servers refuse: somebody must mend them, the account or the name
	exitNotRunable = 126 // as shells have it
	exitNotFound   = 127
	exitSignal     = 128 // and the signal's number
)

// exitError is an error with the exit code that it stands for. Without an error
// there is nothing to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func usage(format string, args ...any) error { return fail(exitUsage, format, args...) }

// report writes the error, in one line, and returns its exit code.
func report(w io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	var e *exitError
	if errors.As(err, &e) && e.err == nil {
		return e.code
	}
	who := "holdfast"
	if name != "" {
		who += " " + name
	}
	fmt.Fprintf(w, "%s: %s\n", who, oneLine(err.Error()))
	return exitCode(err)
}

// oneLine leaves nothing in a text that a terminal would obey: parts of it are the
// servers' words.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, unicode.IsControl), "; ")
}

// exitCode is what an error stands for.
func exitCode(err error) int {
	var e *exitError
	var c caught
	switch {
	case errors.As(err, &c):
		return exitSignal + int(c.sig)
	case errors.As(err, &e):
		return e.code
	case instance.IsSameServer(err):
		return exitUsage
	case errors.Is(err, engine.ErrRefused):
		return exitRefused
	case errors.Is(err, engine.ErrNoQuorum):
		return exitNoQuorum
	case errors.Is(err, engine.ErrHeld):
		return exitHeld
	case errors.Is(err, context.DeadlineExceeded):
		return exitNoQuorum
	}
	return exitUsage
}
