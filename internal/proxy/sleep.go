package proxy

import "time"

// fine is how long before its time a wait is handed from the runtime's timers,
// which an idle process keeps to a millisecond only, to the kernel's.
const fine = 2 * time.Millisecond

// sleepUntil waits until due, or reports false as soon as stop is closed.
func sleepUntil(due time.Time, stop <-chan struct{}) bool {
	if rest := time.Until(due); rest > fine {
		timer := time.NewTimer(rest - fine)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-stop:
			return false
		}
	}
	for rest := time.Until(due); rest > 0; rest = time.Until(due) {
		nap(rest)
	}
	return true
}
