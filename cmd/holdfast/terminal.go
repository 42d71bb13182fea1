//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal. The command is in a process group of its
// own and begins in the background, so that ^C comes to us, and to it once. When
// it wants to read or to set the terminal, the kernel stops it (SIGTTIN, SIGTTOU)
// and it is lent the foreground; ^C is then between the terminal and the command.
// Not earlier: we may be one of a pipeline that needs the foreground more.
//
// All methods do nothing on nil.
type terminal struct {
	file *os.File
	lent bool
}

// openTerminal returns nil where there is none, as for cron.
func openTerminal() *terminal {
	file, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return &terminal{file: file}
}

// attend catches what a job of a shell is told. It is called when the command
// has been started: what is ignored here must not be ignored there.
func (t *terminal) attend(s *signals) {
	if t == nil {
		return
	}
	signal.Ignore(syscall.SIGTTOU) // to take back the foreground, and to write, from behind
	signal.Notify(s.in, syscall.SIGTSTP)
}

func (t *terminal) close() {
	if t == nil {
		return
	}
	t.takeBack()
	signal.Reset(syscall.SIGTTOU, syscall.SIGTSTP)
	_ = t.file.Close()
}

// foreground is the process group that the terminal listens to.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

func (t *terminal) give(group int) bool {
	return unix.IoctlSetPointerInt(int(t.file.Fd()), unix.TIOCSPGRP, group) == nil
}

// lend makes a group the foreground, if that is ours to give, and reports
// whether the group has it now.
func (t *terminal) lend(group int) bool {
	switch t.foreground() {
	case syscall.Getpgrp():
		t.lent = t.give(group)
	case group: // the stop was under way when it was lent
	default: // we are in the background ourselves
		return false
	}
	return t.lent
}

// takeBack makes us the foreground again, if it was lent, and reports whether it was.
func (t *terminal) takeBack() bool {
	if t == nil || !t.lent {
		return false
	}
	t.lent = false
	t.give(syscall.Getpgrp())
	return true
}

// orphanPatience is how long it takes to see that nobody can stop us: the kernel
// ignores the signal where there is no shell to continue us.
const orphanPatience = 100 * time.Millisecond

// suspend stops our process group, as ^Z would have, and returns when it is
// continued. SIGTTIN and not SIGTSTP, which we catch: once caught, package signal
// cannot make it stop us again. A shell takes either for a job that is put aside.
func (t *terminal) suspend() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(0, syscall.SIGTTIN)
	select {
	case <-continued:
	case <-time.After(orphanPatience):
	}
}
