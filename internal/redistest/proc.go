package redistest

import "os"

// procStat is what the system says of a process.
type procStat struct {
	pid, parent int
	state       byte // 'T' is stopped, 'Z' is dead but not reaped
	name        string
}

// orphans returns the pids of all servers that are children of this process, also those not yet reaped.
func orphans() []int {
	var pids []int
	for _, st := range allProcs() {
		if st.parent == os.Getpid() && isServer(st.name) {
			pids = append(pids, st.pid)
		}
	}
	return pids
}
