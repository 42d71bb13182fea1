package main

import (
	"syscall"
	"time"
)

// detached has the kernel kill the child when this program dies, whatever it dies of (see process.run), and keeps an
// interrupt from the terminal away from it: the program ends its children itself.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// nap sleeps to some ten microseconds, which time.Sleep in an idle process does not, at the price of a thread. A signal
// may end it early.
func nap(d time.Duration) {
	span := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&span, nil)
}
