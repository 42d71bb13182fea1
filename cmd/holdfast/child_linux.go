package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup makes a process group of the child, and has the kernel tell the child
// when we are gone without having been able to say so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// adopt makes orphans of the command our children, and not those of a PID 1 that
// may leave them zombies for ever, which look like living members of their group.
// It cannot fail.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
