package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
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

// tick is the unit of the kernel's statistics of a process (USER_HZ), the same on all of Linux's platforms that Go knows.
const tick = 10 * time.Millisecond

// cpuOf returns what another process has used so far, to some ten milliseconds, or 0 if nobody tells.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, behind, _ := bytes.Cut(text, []byte(") ")) // the name may have spaces in it
	fields := bytes.Fields(behind)
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, _ := strconv.ParseInt(string(field), 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * tick
}
