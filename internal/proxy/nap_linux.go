package proxy

import (
	"syscall"
	"time"
)

// nap sleeps by the kernel's timer, to some 50µs. A signal may end it early: the
// caller looks at the clock again.
func nap(d time.Duration) {
	pause := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&pause, nil)
}
