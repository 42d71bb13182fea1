//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// passedOn are the signals that the command gets, too.
var passedOn = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// signals are what this process is sent from here on.
type signals struct {
	in   chan os.Signal // from package signal, which drops what does not fit; never closed
	pipe chan os.Signal // of SIGPIPE: nobody reads it
}

// catchSignals catches those that are passed on. One that was ignored when we
// began, as nohup does with HUP, is left to be ignored by the command as well.
func catchSignals() *signals {
	s := &signals{in: make(chan os.Signal, 16), pipe: make(chan os.Signal, 1)}
	for _, sig := range passedOn {
		if !signal.Ignored(sig) {
			signal.Notify(s.in, sig)
		}
	}
	// A reader of our standard error that has gone must not end us while the
	// command runs. Caught and not ignored: the command inherits the latter.
	signal.Notify(s.pipe, syscall.SIGPIPE)
	return s
}

func (s *signals) stop() {
	signal.Stop(s.in)
	signal.Stop(s.pipe)
}
