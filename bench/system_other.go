//go:build unix && !linux

package main

import (
	"syscall"
	"time"
)

// detached keeps an interrupt from the terminal away from the child: the program ends its children itself. Only Linux
// has a signal for when the program dies of SIGKILL.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// nap sleeps, to a millisecond or so.
func nap(d time.Duration) { time.Sleep(d) }

// cpuOf would return what another process has used; nobody tells here.
func cpuOf(int) time.Duration { return 0 }
