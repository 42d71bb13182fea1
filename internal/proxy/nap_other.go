//go:build !linux

package proxy

import "time"

// nap sleeps by the runtime's timer: delays are up to 1ms longer than asked for.
func nap(d time.Duration) { time.Sleep(d) }
