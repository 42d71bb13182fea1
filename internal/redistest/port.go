package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

var errPortTaken = errors.New("its port is taken")

// freeAddr returns an address on 127.0.0.1 that was free a moment ago.
//
// The port lies below the range from which systems take the ports of outgoing connections (32768 and up on Linux, 49152
// and up elsewhere). Asking for port 0 would give one from that range, and while the server is down some client's
// connection could come to sit on it: then Restart fails, now and then, for no visible reason.
func freeAddr() (string, error) {
	const low, high = 10000, 32768
	var err error
	for range 50 {
		addr := fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("redistest: no free port: %w", err)
}
