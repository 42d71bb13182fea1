//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// supervisor is one command under one lease. All is done on one goroutine, in
// loop.
//
//	TERM  at deadline − grace, if no renewal has moved the deadline by then
//	KILL  at deadline − grace/10, for the deadline as it was at TERM
type supervisor struct {
	name    string // of holdfast's command
	lease   *lease.Lease
	lost    <-chan struct{} // the lease's Done; nil when we know
	signals *signals
	grace   time.Duration
	child   *child
	tty     *terminal   // nil: there is none
	alarm   *time.Timer // fires when the deadline must be looked at, or it is time to kill
	limit   time.Time   // when the command has had the lock for long enough; zero: never
	killAt  time.Time   // zero: the command is not to end
	why     error       // why it is to end
}

// supervise runs the command and returns its exit code. It is an error when the
// command could not be started, or the lease was lost.
func (r *runAction) supervise(l *lease.Lease, signals *signals, path string, argv, env []string) (code int, err error) {
	tty := openTerminal()
	defer tty.close()
	c, err := startChild(path, argv, env, r.group)
	switch {
	case errors.Is(err, fs.ErrNotExist): // also: what it says behind #! does not exist
		return 0, fail(exitNotFound, "%s: %w", argv[0], err)
	case err != nil:
		return 0, fail(exitNotRunable, "%s: %w", argv[0], err)
	}
	s := &supervisor{name: r.name, lease: l, lost: l.Done(), signals: signals, grace: time.Duration(r.grace), child: c, tty: tty}
	if r.maxHold > 0 {
		s.limit = time.Now().Add(time.Duration(r.maxHold))
	}
	s.alarm = time.NewTimer(s.left() - s.grace)
	defer s.alarm.Stop()
	tty.attend(signals)
	status := s.loop()
	if s.killAt.IsZero() {
		return exitStatus(status), nil
	}
	c.awaitGroup(s.killAt)
	return 0, &exitError{exitLost, s.why}
}

// loop passes on, watches, and ends when the command has ended.
func (s *supervisor) loop() syscall.WaitStatus {
	for {
		select {
		case sig := <-s.signals.in:
			s.pass(sig.(syscall.Signal))
		case e := <-s.child.changes:
			if !e.status.Stopped() {
				return e.status
			}
			s.stopped(e.status.StopSignal())
		case <-s.lost:
			s.doom()
		case <-s.alarm.C:
			s.look()
		}
	}
}

// pass passes a signal on. One that asks the command to end is of no use while the
// command is stopped.
func (s *supervisor) pass(sig syscall.Signal) {
	s.child.signal(sig)
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		s.child.signal(syscall.SIGCONT)
	}
}

// left is how long the command may still have the lock, as things are now.
func (s *supervisor) left() time.Duration {
	left := s.lease.Remaining()
	if !s.limit.IsZero() {
		left = min(left, time.Until(s.limit))
	}
	return left
}

// look acts on what the clock says.
func (s *supervisor) look() {
	left := s.left()
	switch {
	case !s.killAt.IsZero():
		s.child.kill()
	case left <= s.grace:
		s.doom()
	default: // it was renewed meanwhile
		s.alarm.Reset(left - s.grace)
	}
}

// doom begins the command's end, once. The time to kill is fixed then: a renewal
// that comes late must not give a command that does not heed TERM more time.
func (s *supervisor) doom() {
	s.lost = nil
	if !s.killAt.IsZero() {
		return
	}
	now := time.Now()
	s.why = s.cause()
	s.killAt = earlier(now.Add(s.grace), s.lease.Deadline().Add(-s.grace/10))
	if !s.killAt.After(now) {
		s.child.kill()
		return
	}
	fmt.Fprintf(os.Stderr, "holdfast %s: %v: TERM to the command, KILL in %v\n", s.name, s.why, s.killAt.Sub(now).Round(time.Millisecond))
	s.pass(syscall.SIGTERM)
	s.alarm.Reset(s.killAt.Sub(now))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// cause is why the command must end.
func (s *supervisor) cause() error {
	switch err := s.lease.Err(); {
	case err != nil:
		return fmt.Errorf("while the command ran: %w", err)
	case s.lease.Remaining() <= s.grace:
		return errors.New("the lock is being lost: it could not be renewed in time")
	}
	return errors.New("the command has had the lock for the longest time allowed")
}

// stopped decides what a stop of the command means. Somebody that sends
// SIGSTOP will continue it without asking us, so we go on renewing. What the terminal
// stops is either in need of the terminal, or a job of a shell that is put aside:
// then we are, too, and the shell continues us, and we the command.
func (s *supervisor) stopped(sig syscall.Signal) {
	wantsTerminal := sig == syscall.SIGTTIN || sig == syscall.SIGTTOU
	switch {
	case s.tty == nil || !wantsTerminal && sig != syscall.SIGTSTP:
		return
	case wantsTerminal && s.tty.lend(s.child.pid):
		s.child.signal(syscall.SIGCONT)
		return
	case !s.killAt.IsZero():
		return
	}
	lent := s.tty.takeBack()
	s.tty.suspend()
	if !s.proven() {
		s.doom()
		return
	}
	if lent || wantsTerminal {
		s.tty.lend(s.child.pid)
	}
	s.child.signal(syscall.SIGCONT)
}

// proven asks whether the lock is still ours after a pause of any length, before
// the command may go on.
func (s *supervisor) proven() bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.lease.Remaining())
	defer cancel()
	_ = s.lease.Extend(ctx, 0) // what counts is what the lease makes of it
	return s.lease.Remaining() > s.grace
}
