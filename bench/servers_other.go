//go:build unix && !linux

package main

import "syscall"

// detached keeps an interrupt from the terminal away from the server: the program ends its servers itself. Only Linux
// has a signal for when the program dies of SIGKILL.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
