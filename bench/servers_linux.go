package main

import "syscall"

// detached has the kernel kill the server when this program dies, whatever it dies of (see server.run), and keeps an
// interrupt from the terminal away from it: the program ends its servers itself.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
