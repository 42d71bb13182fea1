//go:build unix && !linux

package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
)

// dieWithParent does nothing: only Linux has a parent death signal. Here servers outlive a test process that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// stat returns false if there is no such process.
func stat(pid int) (procStat, bool) {
	for _, st := range allProcs() {
		if st.pid == pid {
			return st, true
		}
	}
	return procStat{}, false
}

func allProcs() []procStat {
	var all []procStat
	out, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=,state=,comm=").Output()
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var st procStat
		var state string // may have flags behind the letter
		if _, err := fmt.Sscan(lines.Text(), &st.pid, &st.parent, &state, &st.name); err != nil {
			continue
		}
		st.state, st.name = state[0], filepath.Base(st.name)
		all = append(all, st)
	}
	return all
}
